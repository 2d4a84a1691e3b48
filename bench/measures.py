"""The measurements, each on servers of its own, all sides in turns: A B A B."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import accept
from bench.figures import costs, latencies, quantiles, spread
from bench.sides import Field, Outcome, Side, Work
from bench.tally import NOTHING
from ops.server import Server, free_port

RUNS = {1: 150, 3: 75, 10: 20, 30: 6, 100: 2}
"""Runs of one turn by calls a run: a quarter of a second of CPU and more."""
RATE_PER_S, RATE_RUNS = 20.0, 80
ENOUGH_S = 18.0
"""No further turn of a burst begins after this, so that a busy machine has an answer in five
minutes, too."""
SLOW_MS, SLOW_CALLS, SLOW_SLOTS = 50, 5, 6
"""With a slot for each call of a run and one for what comes before and after."""
ACCEPT_S, ACCEPT_RATE_PER_S = 2, 50
_WARM = Work(runs=15, calls=3)
_IDLE_S = 3.0

Say = Callable[[str], None]


class Bench:
    """
    One benchmark on one machine.

    Args:
        peers: Names of the sides to compare with.

        node: The program for the side "seed"; None leaves it out.
    """

    def __init__(
        self,
        folder: Path,
        tools_dir: Path,
        postgres: Server,
        *,
        peers: Sequence[str],
        node: str | None,
        turns: int,
        say: Say,
    ) -> None:
        self._folder, self._tools_dir, self._postgres = folder, tools_dir, postgres
        self._peers, self._node = peers, node
        self._turns, self._say = turns, say

    def sides(self, *, with_latency: bool = True) -> dict[str, Any]:
        """CPU, runs a second, Redis, latency and memory of each side, by its name."""
        with self._field() as field:
            ours = field.ours()
            peers = [field.peer(name, ours.env) for name in self._peers]
            sides = [ours, *([field.own_ledger()] if with_latency else []), *peers]
            sides += self._seed(field, ours)
            self._warm(sides)
            found: dict[str, dict[str, Any]] = {side.name: {} for side in sides}
            _assume_idle(sides, found)
            for name, by_calls in self._by_calls(sides).items():
                found[name]["by_calls"] = by_calls
            if with_latency:
                work = Work(RATE_RUNS, 3, RATE_PER_S)
                for name, outcomes in self._in_turns(sides, work).items():
                    found[name]["latency_ms"] = latencies(outcomes)
            for side in sides:
                found[side.name]["tree_mb"] = round(side.memory_mb(), 1)
        return found

    def slow(self) -> dict[str, Any]:
        """
        End to end with 5 calls of 50 ms: ours with a slot for each, and the seed's shape.

        Both are sent over HTTP.
        """
        with self._field() as field:
            stack = field.stack(workers=1, concurrency=SLOW_SLOTS)
            ours = field.side_of(stack, over_http=True)
            sides = [ours, *self._seed(field, ours)]
            self._warm(sides)
            outcomes = self._in_turns(sides, _slow(runs=12, calls=SLOW_CALLS, per_s=4.0))
            return {name: latencies(found) for name, found in outcomes.items()}

    def scale(self) -> dict[str, Any]:
        """Runs a second of three calls of 50 ms, with 1, 2 and 4 worker processes."""
        found = {}
        with self._field() as field:
            stack = field.stack(workers=1, concurrency=1)
            side = field.side_of(stack)
            for workers in (1, 2, 4):
                while len(stack.worker_pids) < workers:
                    stack.start_worker()
                side.measure(_slow(runs=4 * workers, calls=3))
                work = _slow(runs=12 * workers, calls=3)
                rates = [side.measure(work).runs_per_s for _ in range(self._turns)]
                found[str(workers)] = spread(rates)
                self._say(f"{workers} worker processes: {found[str(workers)]['median']:.1f} runs/s")
        return found

    def accept(self) -> dict[str, Any]:
        """How many deliveries a second, and how fast at a rate, beside a bare Flask route."""
        with self._field() as field:
            # without workers a reconciler would publish each run again, and again
            stack = field.stack(workers=0, concurrency=1, reconcilers=0)
            ports = {"flask": free_port(), "receiver": urlsplit(stack.webhook_url).port or 0}
            peer = accept.start_bare(stack, ports["flask"])
            try:
                for port in ports.values():
                    accept.throughput(port, 1)  # warm
                found = accept.in_turns(
                    ports, self._turns, lambda port: accept.throughput(port, ACCEPT_S)
                )
                took_ms: dict[str, list[list[float]]] = {name: [] for name in ports}
                for name, port in [*ports.items()] * self._turns:
                    answers = accept.at_rate(port, ACCEPT_RATE_PER_S, ACCEPT_S)
                    took_ms[name].append([ms for status, ms in answers if status == 202])
            finally:
                peer.stop()
        self._say(f"accepted a second: {found}")
        rates = {name: spread(values) for name, values in found.items()}
        return {**rates, "latency_ms": {name: quantiles(some) for name, some in took_ms.items()}}

    def long(self, runs: int) -> dict[str, Any]:
        """Memory of our worker tree while it takes *runs* runs; MB by runs that ended."""
        found = {}
        with self._field() as field:
            side = field.ours()
            done = 0
            while done < runs:
                side.measure(Work(1_000, 3))
                done += 1_000
                if done % 10_000 == 0:
                    found[str(done)] = round(side.memory_mb(), 1)
                    self._say(f"{done} runs: {found[str(done)]} MB")
        return found

    @contextmanager
    def _field(self) -> Iterator[Field]:
        with (
            tempfile.TemporaryDirectory(dir=self._folder) as folder,
            Field(Path(folder), self._tools_dir, self._postgres) as field,
        ):
            yield field

    def _seed(self, field: Field, ours: Side) -> list[Side]:
        return [field.seed(self._node, ours.env)] if self._node else []

    def _warm(self, sides: Sequence[Side]) -> None:
        for side in sides:
            side.measure(_WARM)
            side.measure(_WARM)
        self._say(f"up and warm: {', '.join(side.name for side in sides)}")

    def _by_calls(self, sides: Sequence[Side]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {side.name: {} for side in sides}
        for calls, runs in RUNS.items():
            # 100 calls are about ourselves: that a call costs no more in a large run
            some = sides if calls <= 30 else sides[:1]
            for name, outcomes in self._in_turns(some, Work(runs, calls)).items():
                found[name][str(calls)] = costs(outcomes)
            cpu = [
                f"{side.name} {found[side.name][str(calls)]['cpu_ms']['median']}" for side in some
            ]
            self._say(f"{calls} calls, worker CPU ms a run: {', '.join(cpu)}")
        return found

    def _in_turns(self, sides: Sequence[Side], work: Work) -> dict[str, list[Outcome]]:
        found: dict[str, list[Outcome]] = {side.name: [] for side in sides}
        began = time.monotonic()
        for turn in range(self._turns):
            if not work.per_s and time.monotonic() - began > ENOUGH_S:
                self._say(f"a slow machine: {turn} of {self._turns} turns")
                break
            for side in sides:
                found[side.name].append(side.measure(work))
        if work.per_s:
            p50 = [f"{name} {latencies(some)['p50']['median']:.0f}" for name, some in found.items()]
            self._say(f"{work.calls} calls at {work.per_s:g}/s, p50 ms: {', '.join(p50)}")
        return found


def _slow(*, runs: int, calls: int, per_s: float | None = None) -> Work:
    return Work(runs, calls, per_s, "slow_report", {"seconds": SLOW_MS / 1000})


def _assume_idle(sides: Sequence[Side], found: dict[str, dict[str, Any]]) -> None:
    """See what waiting costs each side, all at the same time, and leave it out from now on."""
    time.sleep(1)  # what the last run left to do is done
    began = time.monotonic()
    before = [side.cost() for side in sides]
    time.sleep(_IDLE_S)
    for side, cost in zip(sides, before, strict=True):
        lasted_s = time.monotonic() - began
        idle = side.cost().since(cost, idle=NOTHING, for_s=lasted_s).per(lasted_s)
        side.assume_idle(idle)
        found[side.name]["idle_a_second"] = {
            "cpu_ms": round(idle.cpu_s * 1000, 1),
            "round_trips": round(idle.round_trips, 1),
        }
