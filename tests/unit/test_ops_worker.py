"""`toolworker worker` is Celery's worker, without what only Celery's other commands need."""

import subprocess
import sys
from pathlib import Path

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
