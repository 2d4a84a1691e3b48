"""
Benchmark of the traces' cost: a worker's CPU per run with and without them, alternating.

    python -m bench.traces

Three equal stacks in production's shape, each with a worker and a reconciler of its own; two are
without traces, and the spread between those two is what the third may differ by. Exits with 1 when
it differs by more.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import redis

from ops import deliveries
from ops.dev import demo_data
from ops.dev.embedded import start_postgres
from ops.dev.stack import Stack
from tests.collector import Collector

ROUNDS, RUNS = 12, 60
_ARGUMENTS = json.dumps({"sku": "AB-1001", "warehouse": "US-WEST"})
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure and print."""
    collector = Collector()
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    fast = {"GENESYS_REQUESTS_PER_MINUTE": "100000"}
    names = {"without, first": fast, "without, second": fast, "with traces": {**fast, **on}}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stacks:
        folder = Path(name)
        postgres = stacks.enter_context(start_postgres(folder / "postgres"))
        demo_data.load(postgres.url)
        sides = {
            side: stacks.enter_context(
                Stack(folder / str(number), env=env, postgres=postgres, reconcilers=1)
            )
            for number, (side, env) in enumerate(names.items())
        }
        worker: dict[str, list[float]] = {side: [] for side in sides}
        reconciler: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(ROUNDS + 1):
            for side, stack in sides.items() if number % 2 else reversed(sides.items()):
                before = _cpu_ms(stack, "worker"), _cpu_ms(stack, "reconciler")
                _round(stack, f"{number}", is_traced=side == "with traces")
                if number:
                    worker[side].append((_cpu_ms(stack, "worker") - before[0]) / RUNS)
                    reconciler[side].append((_cpu_ms(stack, "reconciler") - before[1]) / RUNS)
    for side in sides:
        w, r = statistics.median(worker[side]), statistics.median(reconciler[side])
        low, high = min(worker[side]), max(worker[side])
        print(f"{side:16} worker {w:6.2f} ms a run ({low:.2f} to {high:.2f}), reconciler {r:5.2f}")
    first, second, traced = (statistics.median(worker[side]) for side in sides)
    equal = [abs(a - b) for a, b in zip(*list(worker.values())[:2], strict=True)]
    spread = statistics.median(equal)
    cost = traced - (first + second) / 2
    print(f"traces cost a worker {cost:+.2f} ms a run; two equal sides differ by {spread:.2f} ms")
    print(f"{len(collector.traces())} traces of {(ROUNDS + 1) * RUNS} runs")
    collector.close()
    return 0 if cost <= spread else 1


def _round(stack: Stack, number: str, *, is_traced: bool) -> None:
    """Deliver RUNS runs and wait until all have ended."""
    url = f"{stack.webhook_url}/webhook/tool-calls"
    client = redis.Redis.from_url(stack.env["LEDGER_URL"])
    before = client.zcard("tw:ended")
    for run in range(RUNS):
        function = {"name": "search_inventory", "arguments": _ARGUMENTS}
        calls = [{"id": f"c{n}", "type": "function", "function": function} for n in range(3)]
        body = json.dumps({"run_id": f"r-{number}-{run}", "tool_calls": calls}).encode()
        trace = f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"
        more = {"traceparent": trace} if is_traced else {}
        deliveries.send(url, body, secret=stack.secret.encode(), more_headers=more)
    while client.zcard("tw:ended") < before + RUNS:
        time.sleep(0.05)


def _cpu_ms(stack: Stack, kind: str) -> float:
    """CPU of all processes of one kind since they started, in milliseconds."""
    pids = [child.pid for child in stack.children(kind)]
    for pid in list(pids):
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / _TICKS


if __name__ == "__main__":
    sys.exit(main())
