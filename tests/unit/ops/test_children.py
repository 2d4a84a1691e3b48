"""A child process is waited for until ready, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ops.dev.children import Child, StartError
from ops.dev.server import die_with_parent

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def start(tmp_path):
    started = []

    def run(code):
        child = Child("part", ["-u", "-c", code], env={}, logs=tmp_path, cwd=tmp_path)
        started.append(child)
        return child

    yield run
    for child in started:
        child.stop(signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie a child to us")
def test_a_program_whose_parent_ended_during_the_fork_does_not_start():
    other = os.getpid() + 1

    for parent, code, out in [(os.getpid(), 0, "runs\n"), (other, -signal.SIGKILL, "")]:
        done = subprocess.run(
            [sys.executable, "-c", "print('runs')"],
            preexec_fn=partial(die_with_parent, parent),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (code, out)


def test_a_program_that_fails_at_start_shows_the_end_of_its_log(start):
    child = start("print('first line'); raise SystemExit('REDIS_URL: is not set')")

    with pytest.raises(StartError) as failure:
        child.wait_until(lambda: False, timeout_s=20)

    assert str(failure.value).splitlines()[0].startswith("part ended with 1; ")
    assert str(failure.value).splitlines()[1:] == ["  first line", "  REDIS_URL: is not set"]


def test_a_program_that_is_never_ready_is_given_up(start):
    child = start("import time; time.sleep(60)")

    with pytest.raises(StartError, match=r"part is not ready after 0\.2 s"):
        child.wait_until(lambda: False, timeout_s=0.2)


def test_a_program_that_does_not_listen_is_killed_after_its_grace(start):
    child = start(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf');"
        "time.sleep(60)"
    )
    child.wait_until(lambda: child.has_logged("deaf"), timeout_s=20)

    began = time.monotonic()
    child.stop(grace_s=0.3)

    assert child.has_ended
    assert 0.3 <= time.monotonic() - began < 10
    child.stop()


def test_ctrl_c_on_the_terminal_reaches_us_and_not_the_program(start):
    child = start("import time; time.sleep(60)")

    assert os.getsid(child.pid) == child.pid
    assert os.getsid(child.pid) != os.getsid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie a child to us")
def test_a_program_dies_with_us_even_when_we_are_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from ops.dev.children import Child;"
        f"folder = Path({str(tmp_path)!r});"
        "child = Child('part', ['-c', 'import time; time.sleep(60)'],"
        " env={}, logs=folder, cwd=folder);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=_ROOT
    ) as parent:
        pid = int(parent.stdout.readline())
        assert _is_alive(pid)
        parent.kill()

    deadline = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} outlived its parent"
        time.sleep(0.05)


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_an_interrupt_in_the_middle_of_a_fork_is_not_lost(tmp_path):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ops.dev.children import Child\n"
        "os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGINT))\n"
        "folder = Path(sys.argv[1])\n"
        "try: Child('part', ['-c', 'pass'], env={}, logs=folder, cwd=folder)\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
