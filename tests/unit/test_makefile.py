"""The Makefile refuses an old Python, and installs again when it must."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

_MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"


@pytest.fixture
def checkout(tmp_path):
    """A folder in which `make` finds all that it installs from, and nothing installed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(_MAKEFILE, folder)
    for name in ("dev", "bench", "conformance"):
        (folder / f"requirements-{name}.lock").touch()
    (folder / "pyproject.toml").touch()
    return folder


def make(folder, *arguments):
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return subprocess.run(
        [shutil.which("make"), *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("target", ["install", "bench", "conformance"])
@pytest.mark.parametrize(
    "python", ["", "/nowhere/python3", "false"], ids=["empty", "absent", "old"]
)
def test_a_python_that_cannot_be_used_is_answered_with_what_is_needed(checkout, target, python):
    done = make(checkout, target, f"PYTHON={python}")

    assert done.returncode == 2
    assert "toolworker needs Python 3.11 or newer; set PYTHON=python3.x\n" in done.stderr
    assert not list(checkout.glob(".venv*"))


@pytest.mark.parametrize("name", [".venv", ".venv-bench"])
def test_a_checkout_that_was_moved_is_installed_anew(checkout, name):
    venv.create(checkout / name)
    (checkout / name / "installed").touch()
    assert make(checkout, "--question", f"{name}/installed").returncode == 0

    moved = checkout.rename(checkout.with_name("elsewhere"))
    # with a Python that creates no venv and complains of nothing
    make(moved, f"{name}/installed", "PYTHON=true")
    assert not (moved / name).exists()
