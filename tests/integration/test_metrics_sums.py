"""The numbers on the metrics page add up, over processes that come and go."""

import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]

# Forks as Celery and gunicorn do: four children of 1,000 calls, one of them replaced half-way.
_PARENT = """
import os, sys
import prometheus_client  # as Celery's command line does, with Flower
from runtime import metrics

print(metrics.serve(0), flush=True)

def child(calls):
    pid = os.fork()
    if pid:
        return pid
    for number in range(calls):
        metrics.observe("tool_call_seconds", 0.003, tool="hold", code="ok")
        metrics.count("runs", state="submitted")
    os._exit(0)

def page():
    sys.stdout.write("page\\n"); sys.stdout.flush(); sys.stdin.readline()

first = child(500)
os.waitpid(first, 0)
page()
rest = [child(calls) for calls in (500, 1000, 1000, 1000)]
for pid in rest:
    os.waitpid(pid, 0)
page()
page()
"""


def _read(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return response.read().decode()


def _value(page, sample):
    (found,) = re.findall(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    return float(found)


def _files(port):
    folder = Path(tempfile.gettempdir()) / f"toolworker-metrics-{port}"
    return sorted(path.name for path in folder.glob("*.db"))


def test_four_children_of_1000_calls_sum_exactly_also_after_one_was_recycled():
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(parent.stdout.readline())
        calls = 'toolworker_tool_call_seconds_count{code="ok",tool="hold"}'
        for expected in (500.0, 4000.0, 4000.0):
            assert parent.stdout.readline() == "page\n"
            page = _read(port)
            assert _value(page, calls) == expected
            assert _value(page, 'toolworker_runs_total{state="submitted"}') == expected
            with pytest.raises(urllib.error.HTTPError, match="404"):
                _read(port, "/")
            # what has ended leaves one file a kind, however often processes are replaced
            ended = [name for name in _files(port) if str(parent.pid) not in name]
            assert ended == ["counter_0.db", "histogram_0.db"]
            parent.stdin.write("\n")
            parent.stdin.flush()
        bound = 'toolworker_tool_call_seconds_bucket{code="ok",le="0.005",tool="hold"}'
        assert _value(page, bound) == 4000.0
    finally:
        parent.kill()
        parent.communicate()


def test_a_start_on_the_same_port_begins_at_nothing(free_port):
    port = free_port()
    code = (
        "import sys; from runtime import metrics; metrics.serve(int(sys.argv[1]));"
        "metrics.count('runs', state='dead'); print('up', flush=True); sys.stdin.readline()"
    )
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(port)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout.readline() == "up\n"
                assert _value(_read(port), 'toolworker_runs_total{state="dead"}') == 1.0
            finally:
                process.kill()


def test_without_a_port_nothing_is_counted_and_nothing_breaks():
    code = (
        "import sys; from runtime import metrics; metrics.count('runs', state='dead');"
        "metrics.observe('run_seconds', 1.0); print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
