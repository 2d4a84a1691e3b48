"""`toolworker demo` and `toolworker up` as a newcomer runs them."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PARTS = {"broker", "ledger", "postgres", "simulator", "webhook", "worker-1", "reconciler-1"}
_LAST_OF_UP = "see the runs: "


@pytest.fixture
def start(tmp_path):
    """Start `toolworker COMMAND` in a folder of its own; it and its parts are gone afterwards."""
    started = []

    def run(command):
        # a setting of the user's own must not reach the stack, but for `up` the tools
        env = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0"}
        if command == "demo":
            env |= {"TOOLS_DIR": "/nowhere", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
        arguments = [sys.executable, "-m", "ops.cli", command, "--folder", str(tmp_path / "demo")]
        started.append(
            subprocess.Popen(
                arguments,
                cwd=_ROOT,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield run
    for toolworker in started:
        toolworker.kill()
        toolworker.communicate()


def test_the_demo_prints_five_runs_as_expected_and_leaves_nothing_behind(start, tmp_path):
    used_s = _cpu_of_children_s()
    toolworker = start("demo")
    text, _ = toolworker.communicate(timeout=240)

    assert toolworker.returncode == 0, text
    # a minute on one core, whatever else the machine does
    assert _cpu_of_children_s() - used_s < 60
    assert re.findall(r"^  ([1-5]) .*: (?:answered in \d+ ms|recognised)$", text, re.MULTILINE) == [
        "1", "2", "3", "4", "5",
    ]  # fmt: skip
    assert text.count("as expected") == 6  # each run, and the last line
    assert "all five as expected, the data action too" in text
    assert "one data action, over TLS" in text
    assert '"duplicate": true' in re.sub(r"\s*│\s*\n│\s*", " ", text)
    assert "\x1b" not in text
    pids = _pids(tmp_path)
    assert set(pids) == {*_PARTS, "actions"}
    assert [name for name, pid in pids.items() if _is_alive(pid)] == []


def test_up_serves_what_it_prints_and_stops_every_part_at_ctrl_c(start, tmp_path):
    toolworker = start("up")
    lines = _read_until(toolworker, _LAST_OF_UP)
    pids = _pids(tmp_path)
    assert set(pids) == {*_PARTS, "flower", "dashboard"}
    assert all(_is_alive(pid) for pid in pids.values())
    assert _answers_the_printed_curl(lines)
    assert _after_the_printed_export(lines, "doctor") == ""
    assert "9 of 9 examples as expected" in _after_the_printed_export(lines, "tools test")
    assert "run-three-calls" in _after_the_printed_export(lines, "runs list")

    toolworker.send_signal(signal.SIGINT)
    toolworker.communicate(timeout=120)

    assert toolworker.returncode == 130
    assert [name for name, pid in pids.items() if _is_alive(pid)] == []


@pytest.mark.parametrize("command", ["demo", "up"])
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_nothing_is_left_when_it_is_interrupted_while_it_starts(start, tmp_path, command, ending):
    toolworker = start(command)
    _read_until(toolworker, "  broker ")

    toolworker.send_signal(ending)
    text, _ = toolworker.communicate(timeout=120)

    assert toolworker.returncode == 130
    assert "Traceback" not in text
    assert [name for name, pid in _pids(tmp_path).items() if _is_alive(pid)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie a child to us")
def test_nothing_is_left_when_up_is_killed(start, tmp_path):
    toolworker = start("up")
    _read_until(toolworker, _LAST_OF_UP)
    session_pids = [pid for root in _pids(tmp_path).values() for pid in _family(root)]
    assert len(session_pids) > len(_PARTS)
    arguments = Path(f"/proc/{_pids(tmp_path)['postgres']}/cmdline").read_text().split("\0")
    data = arguments[arguments.index("-D") + 1]

    toolworker.kill()

    deadline = time.monotonic() + 60
    while alive := [pid for pid in session_pids if _is_alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(0.1)
    shutil.rmtree(data)  # nobody else is left to do it, and it may lie outside of tmp_path


def _cpu_of_children_s():
    """CPU time of all that was waited for, and of what those waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read_until(toolworker, text):
    lines = []
    for line in toolworker.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def _answers_the_printed_curl(lines):
    """Run the printed lines in a shell, as one who pastes them."""
    (post,) = [line for line in lines if line.startswith("  curl -i")]
    (look,) = [line for line in lines if line.startswith("  curl -s")]
    done = _sh(post)
    assert "202 ACCEPTED" in done.upper()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if json.loads(_sh(look)):
            return True
        time.sleep(0.05)
    return False


def _after_the_printed_export(lines, command):
    (export,) = [line for line in lines if line.startswith("  export ")]
    return _sh(f"{export}\ntoolworker {command}")


def _sh(line):
    return subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, check=True
    ).stdout


def _pids(tmp_path):
    return json.loads((tmp_path / "demo" / "pids.json").read_text())


def _family(pid):
    """A process and its children, read from the kernel."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # Postgres has some that last for a moment
        return [pid]
    return [pid, *(found for child in children for found in _family(int(child)))]


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
