"""`toolworker worker` is Celery's worker, without what only Celery's other commands need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_LOAD = """
import sys
from ops.worker import serve
try:
    serve(["--help"])
except SystemExit:
    import tasks.pipeline
    heavy = ("charset_normalizer", "flower", "prompt_toolkit", "pydantic", "rich", "yaml")
    print([name for name in heavy if sys.modules.get(name)])
"""


def test_a_worker_takes_celerys_options_and_imports_none_of_its_other_commands(tmp_path):
    # with the warnings that an operator would see
    arguments = [sys.executable, "-W", "default", "-c", _LOAD]
    done = subprocess.run(
        arguments, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "--concurrency" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    assert "character detection" not in done.stderr


def start(*options, **variables):
    """A worker that must not come up; what it said and its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", "worker", "-c", "1", *options],
        cwd=_ROOT,
        env={**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "url", ["postgres:/u:planted@h/d", "postgresql://u:pl%anted@h/d", "postgresql://h/d?planted=1"]
)
def test_a_database_url_that_cannot_be_read_stops_the_start_and_is_not_shown(url):
    done = start(DATABASE_URL_CRM=url, DATABASE_URL="postgresql://h/d")
    assert done.returncode != 0
    assert "DATABASE_URL_CRM: must be postgresql://" in done.stderr
    assert "anted" not in done.stdout + done.stderr


@pytest.mark.parametrize("option", ["-D", "-ED", "--detach"])
def test_a_worker_does_not_detach_as_celery_would_without_our_tasks(option):
    done = start(option)
    assert done.returncode == 2
    assert "--detach: a worker stays in the foreground" in done.stderr
