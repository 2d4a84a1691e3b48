"""Programs without Flower, as in the workers' image: which start, and what the others report."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_FLOWERS = ("flower", "humanize", "pytz", "tornado")
_HOW = "it comes with pip install 'toolworker[flower]', and in the image whose name ends in -flower"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with every package that is installed here but Flower and what comes with it."""
    folder = tmp_path_factory.mktemp("packages")
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if package.name.partition("-")[0] not in _FLOWERS:
            (folder / package.name).symlink_to(package)
    return folder


def _run(packages, *arguments, cwd=_ROOT, **env):
    # -S: the interpreter's own folder of packages stays out
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": f"{_ROOT}{os.pathsep}{packages}", "LANG": "C.UTF-8", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_toolworker_flower_is_one_sentence_with_what_to_install(packages):
    done = _run(packages, "-m", "ops.cli", "flower", REDIS_URL="redis://127.0.0.1:1/0")

    assert done.returncode == 1
    assert done.stderr == f"Error: Flower is not installed here: {_HOW}\n"


def test_toolworker_up_names_the_extra_that_it_needs(packages, tmp_path):
    done = _run(packages, "-m", "ops.cli", "up", "--folder", str(tmp_path / "up"))

    assert done.returncode == 1
    assert done.stderr == (
        "Error: flower is not installed; it comes with: pip install 'toolworker[flower]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_celerys_own_command_has_no_flower(packages):
    done = _run(packages, "-m", "celery", "-A", "tasks", "flower")

    assert done.returncode == 2
    assert "No such command 'flower'" in done.stderr
    assert "Traceback" not in done.stderr


def test_celerys_command_imports_neither_flower_nor_prometheus_client_before_the_app(packages):
    # so that a worker takes 4 MB less, and needs no PROMETHEUS_MULTIPROC_DIR for its METRICS_PORT
    code = (
        "import sys\n"
        "from celery.__main__ import main\n"
        "sys.argv = ['celery', '-A', 'tasks', 'worker', '--help']\n"
        "try: main()\n"
        "finally: print({'flower', 'prometheus_client', 'tornado'} & set(sys.modules))"
    )
    done = _run(packages, "-c", code)

    assert done.returncode == 0, done.stderr
    assert "--concurrency" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"
