"""300 runs, 50 processes killed, children recycled, a collector that is down: 300 whole traces."""

import itertools
import os
import random
import signal
import time

import pytest

from ops.dev.stack import Stack
from tests import registry
from tests.collector import Collector
from tests.service import Service

RUNS, KILLS = 300, 50
DOWN_S = 60
_ARGUMENTS = '{"sku": "AB-1001", "warehouse": "US-WEST"}'


@pytest.mark.chaos
def test_each_of_300_runs_is_one_whole_trace(tmp_path, request, capsys, tools_with_hold):
    random.seed(request.config.getoption("--chaos-seed"))
    collector = Collector()
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "GENESYS_REQUESTS_PER_MINUTE": "100000",
    }
    recycled = ("--max-tasks-per-child", "5")
    with Stack(
        tmp_path,
        workers=2,
        reconcilers=2,
        env=env,
        worker_options=recycled,
        tools_dir=tools_with_hold,
    ) as stack:
        service = Service(stack)
        sent = _send_and_kill(service, collector)
        ended = lambda: all(service.entry(key)["state"] == "submitted" for key in sent)  # noqa: E731
        service.wait_for(ended, within_s=180)
        service.wait_for(lambda: set(sent) <= set(collector.traces()), within_s=90)
        traces = collector.traces()
        tries = [span for spans in traces.values() for span in spans.values()]
        lost = sum(span["name"] == "try" for span in tries)
        broken = {
            key: found
            for key, calls in sent.items()
            if (found := registry.problems(traces[key], calls))
        }
        attempts = {key: int(service.entry(key)["attempts"]) for key in sent}
    posts = {key: sum(s["name"] == "POST" for s in traces[key].values()) for key in sent}
    with capsys.disabled():
        request.config.pluginmanager.getplugin("terminalreporter").write_line(
            f"\n{len(sent)} runs, {KILLS} kills, collector down {DOWN_S} s: "
            f"{len(sent) - len(broken)} whole traces, {lost} lost tries in them, "
            f"{collector.repeated} spans sent twice under the same id"
        )
    assert broken == {}
    assert posts == attempts
    assert len(traces) == len(sent) == RUNS
    collector.close()


def _send_and_kill(service, collector):
    """Deliver all runs, kill between them, and let the collector be down for a minute."""
    sent = {}
    victims = itertools.cycle(["child", "child", "child", "worker", "reconciler"])
    down_until = 0.0
    for number in range(RUNS):
        calls = [(f"s{n}", "search_inventory", _ARGUMENTS) for n in range(random.randint(0, 3))]
        calls.append(("h", "hold", f'{{"seconds": {random.choice(["0.02", "0.3"])}}}'))
        answer = service.deliver(service.new_run_id(), *calls)
        assert answer.status == 202, answer
        sent[answer.body["key"]] = len(calls)
        if number == RUNS // 6:
            collector.status, down_until = 503, time.monotonic() + DOWN_S
        if number % (RUNS // KILLS) == 0:
            _kill(service.stack, next(victims))
        if down_until and time.monotonic() > down_until:
            collector.status = 200
        time.sleep(0.1)
    time.sleep(max(0.0, down_until - time.monotonic()))
    collector.status = 200
    return sent


def _kill(stack, victim):
    """SIGKILL one process; what does not come back by itself is started anew."""
    if victim == "reconciler":
        os.kill(random.choice(stack.children("reconciler")).pid, signal.SIGKILL)
        stack.start_reconciler()
        return
    worker = random.choice(stack.worker_pids)
    if victim == "worker":
        os.kill(worker, signal.SIGKILL)
        stack.start_worker()
        return
    with open(f"/proc/{worker}/task/{worker}/children") as children:  # noqa: PTH123
        pids = [int(pid) for pid in children.read().split()]
    if pids:
        os.kill(random.choice(pids), signal.SIGKILL)
