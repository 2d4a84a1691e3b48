"""Metrics are exact sums over a component's processes, ended ones included."""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]

# Forks as Celery and gunicorn do: four children of 1,000 calls, one of them replaced half-way.
_PARENT = """
import os, sys
from runtime import metrics

print(metrics.serve(0), flush=True)

def child(calls):
    pid = os.fork()
    if pid:
        return pid
    for number in range(calls):
        metrics.observe("tool_call_seconds", 0.003, tool="hold", code="ok")
        metrics.count("runs", state="submitted")
    sys.exit(0)  # with what runs at exit, as a gunicorn worker ends

def page():
    sys.stdout.write("page\\n"); sys.stdout.flush(); sys.stdin.readline()

first = child(500)
os.waitpid(first, 0)
metrics.process_ended(first)
page()
rest = [child(calls) for calls in (500, 1000, 1000, 1000)]
for pid in rest:
    os.waitpid(pid, 0)
    metrics.process_ended(pid)
page()
page()
"""


def _read(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        return response.read().decode()


def _value(page, sample):
    (found,) = re.findall(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    return float(found)


def _start(code, tmp_path, *arguments):
    """A process whose temporary files are in *tmp_path*."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=_ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_children_of_1000_calls_sum_exactly_also_after_one_was_recycled(tmp_path):
    parent = _start(_PARENT, tmp_path)
    try:
        port = int(parent.stdout.readline())
        calls = 'toolworker_tool_call_seconds_count{code="ok",tool="hold"}'
        for expected in (500.0, 4000.0, 4000.0):
            assert parent.stdout.readline() == "page\n"
            page = _read(port)
            assert _value(page, calls) == expected
            assert _value(page, 'toolworker_runs_total{state="submitted"}') == expected
            parent.stdin.write("\n")
            parent.stdin.flush()
        bound = 'toolworker_tool_call_seconds_bucket{code="ok",le="0.005",tool="hold"}'
        assert _value(page, bound) == 4000.0
        assert parent.wait(timeout=60) == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        parent.kill()
        parent.communicate()


_ONE_RUN = """
import sys
from runtime import metrics
metrics.serve(int(sys.argv[1]))
metrics.count("runs", state="dead")
print("up", flush=True)
sys.stdin.readline()
"""


def test_a_start_on_the_same_port_begins_at_nothing_whatever_was_left(free_port, tmp_path):
    port = free_port()
    # as another user's leftover was, which no other user could remove
    (tmp_path / f"toolworker-metrics-{port}").touch()
    for _ in range(2):
        with _start(_ONE_RUN, tmp_path, str(port)) as process:
            try:
                assert process.stdout.readline() == "up\n"
                assert _value(_read(port), 'toolworker_runs_total{state="dead"}') == 1.0
            finally:
                process.kill()


def test_the_folder_of_the_metrics_is_its_owners_alone(tmp_path):
    with _start(_ONE_RUN, tmp_path, "0") as process:
        try:
            assert process.stdout.readline() == "up\n"
            (folder,) = tmp_path.iterdir()
            assert folder.stat().st_mode & 0o777 == 0o700
        finally:
            process.kill()


def test_a_port_in_use_leaves_nothing_behind(tmp_path):
    with socket.create_server(("", 0)) as taken:
        code = (
            "import sys; from runtime import metrics, settings\n"
            "try: metrics.serve_from(settings.Settings(metrics_port=int(sys.argv[1])))\n"
            "except settings.SettingsError as mistake: print(mistake)"
        )
        with _start(code, tmp_path, str(taken.getsockname()[1])) as process:
            said, _ = process.communicate(timeout=120)
    assert said.startswith("METRICS_PORT: Address already in use")
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_could_not_sum_its_children_refuses_to_serve(tmp_path):
    code = (
        "import prometheus_client\n"
        "from runtime import metrics, settings\n"
        "try: metrics.serve(0)\n"
        "except settings.SettingsError as mistake: print(mistake)"
    )
    with _start(code, tmp_path) as process:
        said, _ = process.communicate(timeout=120)
    assert said.endswith("set PROMETHEUS_MULTIPROC_DIR to any folder\n")
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_counted_nothing_shows_0_for_what_alerts_look_at(tmp_path):
    code = (
        "import sys; from runtime import metrics; print(metrics.serve(0), flush=True);"
        "metrics.count('tool_failures', 0, tool='get_order'); print('up', flush=True);"
        "sys.stdin.readline()"
    )
    with _start(code, tmp_path) as process:
        try:
            port = int(process.stdout.readline())
            assert process.stdout.readline() == "up\n"
            page = _read(port)
        finally:
            process.kill()
    for sample in (
        'toolworker_runs_total{state="dead"}',
        'toolworker_token_refreshes_total{outcome="rejected"}',
        'toolworker_deliveries_total{answer="503"}',
        'toolworker_tool_failures_total{tool="get_order"}',
        "toolworker_calls_unanswered_total",
    ):
        assert _value(page, sample) == 0.0


def test_without_a_port_nothing_is_counted_and_nothing_breaks():
    code = (
        "import sys; from runtime import metrics; metrics.count('runs', state='dead');"
        "metrics.observe('run_seconds', 1.0); print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
