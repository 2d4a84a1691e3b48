"""The measurements of `python -m bench`, each on its own servers; compared sides alternate."""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import accept, overload, waits
from bench.figures import quantiles, spread
from bench.sides import PEERS, Field, Outcome, Side, Work
from bench.tally import NOTHING, family
from ops.dev.server import Server

RUNS = {1: 150, 3: 75, 10: 20, 30: 6}
"""Runs of one burst by calls a run: a quarter of a second of CPU and more."""
BURSTS = 3
"""For each turn: one burst of the same side costs a third more or less than the next, so the median
of five moves by 0.1 of a peer's cost, and that of fifteen by 0.02 to 0.05; another start of the
sides moves both."""
RATE_PER_S, RATE_RUNS = 20.0, 80
SLOW_S, SLOW_CALLS, SLOW_SLOTS = 0.05, 5, 6
"""With a process for each call of a run and one for what comes before and after."""
_BATCH = 100
"""Runs that wait at once while memory is measured, at most."""
_WARM = Work(runs=15, calls=3)
_IDLE_S = 3.0


class Bench:
    """
    One benchmark on one machine; each public method is a measure, by its name.

    Args:
        node: The program for the side "seed"; None leaves it out.

        say: Called with a line on progress.
    """

    def __init__(
        self,
        folder: Path,
        tools_dir: Path,
        postgres: Server,
        *,
        node: str | None,
        turns: int,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._tools_dir, self._postgres = folder, tools_dir, postgres
        self._node, self._turns, self._say = node, turns, say

    def sides(self) -> dict[str, Any]:
        """Worker CPU, round trips, end to end at 20 runs/s and memory of each side."""
        with self._field() as field:
            ours = field.side_of(field.stack())
            sides = [ours, *(field.peer(name, ours.env) for name in PEERS)]
            self._warm(sides)
            _leave_idle_out(sides)
            by_calls = {
                str(calls): self._in_turns(sides, Work(runs, calls), each=BURSTS)
                for calls, runs in RUNS.items()
            }
            latency = self._in_turns(sides, Work(RATE_RUNS, 3, RATE_PER_S))
            found = {
                side.name: {
                    "by_calls": {
                        calls: _costs(some[side.name]) for calls, some in by_calls.items()
                    },
                    "latency_ms": quantiles([one.took_ms for one in latency[side.name]]),
                    "tree_mb": round(side.memory_mb(), 1),
                }
                for side in sides
            }
        return {**found, "five_fsyncs_ms": _five_fsyncs_ms(self._folder)}

    def slow(self) -> dict[str, Any]:
        """End to end with 5 calls of 50 ms: ours, plain Celery's chord, and the seed's shape."""
        with self._field() as field:
            ours = field.side_of(field.stack(concurrency=SLOW_SLOTS))
            sides = [ours, field.peer("plain_chord", ours.env, processes=SLOW_SLOTS)]
            if self._node:
                sides.append(field.seed(self._node, ours.env))
            self._warm(sides)
            outcomes = self._in_turns(sides, _slow(runs=12, calls=SLOW_CALLS, per_s=4.0))
            return {
                name: quantiles([one.took_ms for one in some]) for name, some in outcomes.items()
            }

    def silence(self) -> dict[str, Any]:
        """How much later five calls are recorded when the sixth hangs."""
        with self._field() as field:
            # each hang takes 5 s
            return waits.silence(field, max(1, self._turns // 3))

    def fairness(self) -> dict[str, Any]:
        """How long small runs wait behind a large one."""
        with self._field() as field:
            return waits.fairness(field, self._turns)

    def recovery(self) -> dict[str, Any]:
        """The worst answer of all seeds when a process dies."""
        with self._field() as field:
            return waits.recovery(field)

    def scale(self) -> dict[str, Any]:
        """Runs a second of three calls of 50 ms, with 1 and 4 worker processes."""
        found = {}
        with self._field() as field:
            stack = field.stack(concurrency=1)
            side = field.side_of(stack)
            for workers in (1, 4):
                while len(stack.worker_pids) < workers:
                    stack.start_worker()
                side.measure(_slow(runs=4 * workers, calls=3))
                work = _slow(runs=12 * workers, calls=3)
                found[str(workers)] = spread(
                    [side.measure(work).runs_per_s for _ in range(self._turns)]
                )
        return found

    def accept(self) -> dict[str, Any]:
        """How many deliveries a second, and how fast at a rate, beside a bare Flask route."""
        with self._field() as field:
            # without workers a reconciler would publish each run again, and again
            return accept.measure(field.stack(workers=0, reconcilers=0), turns=self._turns)

    def overload(self) -> dict[str, Any]:
        """Answers to deliveries at three times the load that the service can take."""
        with TemporaryDirectory(dir=self._folder) as folder:
            return overload.measure(Path(folder), self._postgres)

    def memory(self, runs: int, children_after: int | None) -> dict[str, Any]:
        """
        Memory of our worker tree while it takes *runs* runs, at each tenth of them.

        Args:
            children_after: Messages after which a child is replaced; None is as configured.

        Returns:
            `mb`: MB by the number of runs that ended; `children`: how many processes there were.
        """
        found, seen = {}, set()
        with self._field() as field:
            options = ["--max-tasks-per-child", str(children_after)] if children_after else []
            side = field.side_of(field.stack(worker_options=options))
            # small, or a busy machine answers the last of a batch after its answer-by
            batch = runs // 10 // max(10, runs // 10 // _BATCH)
            for done in range(batch, runs + 1, batch):
                side.measure(Work(batch, 3))
                seen.update(family(side.worker)[1:])
                if done % (runs // 10) == 0:
                    found[str(done)] = round(side.memory_mb(), 1)
                    self._say(f"{done} runs: {found[str(done)]} MB, {len(seen)} children so far")
        return {"mb": found, "children": len(seen)}

    @contextmanager
    def _field(self) -> Iterator[Field]:
        with (
            TemporaryDirectory(dir=self._folder) as folder,
            Field(Path(folder), self._tools_dir, self._postgres) as field,
        ):
            yield field

    def _warm(self, sides: Sequence[Side]) -> None:
        for side in sides:
            side.measure(_WARM)
            side.measure(_WARM)

    def _in_turns(
        self, sides: Sequence[Side], work: Work, *, each: int = 1
    ) -> dict[str, list[Outcome]]:
        found: dict[str, list[Outcome]] = {side.name: [] for side in sides}
        for _ in range(self._turns * each):
            for side in sides:
                found[side.name].append(side.measure(work))
        return found


def _costs(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Cost of one run, by measure; one outcome a turn."""
    return {
        "cpu_ms": spread([one.cost.cpu_s * 1000 for one in outcomes]),
        "redis_cpu_ms": spread([one.cost.redis_cpu_s * 1000 for one in outcomes]),
        "round_trips": spread([one.cost.round_trips for one in outcomes]),
    }


def _latencies(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return dict(quantiles([one.took_ms for one in outcomes]))


def _slow(*, runs: int, calls: int, per_s: float | None = None) -> Work:
    return Work(runs, calls, per_s, waits.TOOL, {"seconds": SLOW_S})


def _leave_idle_out(sides: Sequence[Side]) -> None:
    """See what waiting costs each side, all at the same time, and leave it out from now on."""
    time.sleep(1)  # what the last run left to do is done
    began = time.monotonic()
    before = [side.cost() for side in sides]
    time.sleep(_IDLE_S)
    for side, cost in zip(sides, before, strict=True):
        lasted_s = time.monotonic() - began
        side.assume_idle(side.cost().since(cost, idle=NOTHING, for_s=lasted_s).per(lasted_s))


def _five_fsyncs_ms(folder: Path) -> float:
    """Median of the time that this disk takes for five small writes with fsync, one by one."""
    took_ms = []
    path = folder / "fsync"
    with path.open("ab", buffering=0) as file:
        for _ in range(100):
            began = time.perf_counter()
            for _ in range(5):
                file.write(b"x" * 300)
                os.fdatasync(file.fileno())
            took_ms.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return round(statistics.median(took_ms), 2)


def find_node() -> str | None:
    """Node's program, for the seed's shape."""
    return shutil.which("node")
