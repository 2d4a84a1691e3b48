"""Benchmark of a caller's wait when a tool hangs, a large run is ahead, or a process dies."""

import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from bench.sides import ROOT, Field
from bench.sink import Arrival
from ops import deliveries
from ops.dev.stack import Stack

TOOL = "slow_report"
"""Sleeps in Postgres for as long as its argument names; its timeout is 5 s."""
QUICK = ("search_inventory", {"sku": "AB-1001", "warehouse": "US-WEST"})
HANG_S, PROCESSES = 30, 4
LARGE, LARGE_CALL_S = 128, 0.05
HEAD_START_S = 0.1
"""Time after which a large run has begun and its calls' messages are in the queue."""
MOMENTS = ("after-start", "before-record", "after-record", "after-claim")
SEEDS, KILLS, RATE_PER_S = 3, 3, 6.0
_WAIT_S = 90.0

Call = tuple[str, dict[str, Any]]


class Caller:
    """Delivers runs to a stack, and waits for their submissions."""

    def __init__(self, field: Field, stack: Stack) -> None:
        self._sink, self._stack = field.sink, stack
        self._ledger = redis.Redis.from_url(stack.ledger.url, decode_responses=True)
        self._next = 0

    def send(self, calls: Sequence[Call]) -> tuple[str, str]:
        """Deliver a run and return its id and its key."""
        self._next += 1
        run_id = f"run-{self._next}"
        entries = [
            {"id": f"c{i}", "type": "function",
             "function": {"name": name, "arguments": json.dumps(arguments)}}
            for i, (name, arguments) in enumerate(calls)
        ]  # fmt: skip
        body = json.dumps({"run_id": run_id, "tool_calls": entries}).encode()
        url = f"{self._stack.webhook_url}/webhook/tool-calls"
        answer = deliveries.send(url, body, secret=self._stack.secret.encode())
        assert answer.status == 202, answer
        return run_id, answer.body["key"]

    def answers(self, runs: int) -> dict[str, Arrival]:
        """Wait for the submissions of so many runs; by run id."""
        return self._sink.collect(runs, timeout_s=_WAIT_S)

    def recorded_ms(self, key: str, calls: int) -> list[float]:
        """Milliseconds from acceptance to each call's output, by the ledger's own clock."""
        names = ["accepted_at", *(f"ended_at:{index}" for index in range(calls))]
        accepted_at, *ended_at = self._ledger.hmget(f"tw:run:{key}", names)  # type: ignore[misc]
        return [float(at) - float(accepted_at) for at in ended_at]


def silence(field: Field, turns: int) -> dict[str, Any]:
    """
    How much later the other calls of a run are recorded when one of them hangs.

    Returns:
        By the number of calls: `late_ms`, by the index of the call that hangs, the median over the
        turns; `worst_ms`, the largest of these; `usual_ms`, until all are recorded if none hangs.
    """
    caller = Caller(field, field.stack(concurrency=PROCESSES))
    return {str(calls): _silence_of(caller, calls, turns) for calls in (3, 6)}


def _silence_of(caller: Caller, calls: int, turns: int) -> dict[str, Any]:
    quick: list[Call] = [(TOOL, {"seconds": 0})] * calls
    _warm(caller, quick)
    usual = []
    for _ in range(15):
        _, key = caller.send(quick)
        caller.answers(1)
        usual.append(caller.recorded_ms(key, calls))
    late: dict[str, float] = {}
    for index in range(calls):
        others = [_slowest_but(index, took_ms) for took_ms in usual]
        took = []
        for _ in range(turns):
            # all processes know the tool as one that takes a millisecond
            _warm(caller, quick)
            _, key = caller.send([*quick[:index], (TOOL, {"seconds": HANG_S}), *quick[index + 1 :]])
            caller.answers(1)
            took.append(_slowest_but(index, caller.recorded_ms(key, calls)))
        late[str(index)] = round(statistics.median(took) - statistics.median(others), 1)
    usual_ms = statistics.median(map(max, usual))
    return {"late_ms": late, "worst_ms": max(late.values()), "usual_ms": usual_ms}


def _slowest_but(index: int, took_ms: Sequence[float]) -> float:
    return max(ms for at, ms in enumerate(took_ms) if at != index)


def _warm(caller: Caller, calls: Sequence[Call]) -> None:
    runs = 40
    for _ in range(runs):
        caller.send(calls)
    caller.answers(runs)


def fairness(field: Field, turns: int) -> dict[str, Any]:
    """Seconds until a run of one, and of three, quick calls is answered behind a run of 128."""
    caller = Caller(field, field.stack(concurrency=PROCESSES))
    _warm(caller, [QUICK] * 6)
    found: dict[str, list[float]] = {"1": [], "3": []}
    large: list[Call] = [(TOOL, {"seconds": LARGE_CALL_S})] * LARGE
    for _ in range(turns):
        for calls, waits in found.items():
            caller.send(large)
            time.sleep(HEAD_START_S)
            sent_at = time.monotonic()
            run_id, _ = caller.send([QUICK] * int(calls))
            waits.append(caller.answers(2)[run_id].at - sent_at)
    return {calls: round(statistics.median(waits), 3) for calls, waits in found.items()}


def recovery(field: Field) -> dict[str, Any]:
    """The longest wait for an answer, in seconds, when a process was killed at a step of a run."""
    worst: dict[str, list[float]] = {name: [] for name in (*MOMENTS, "worker")}
    with tempfile.TemporaryDirectory() as armed:
        env = {"PYTHONPATH": str(ROOT / "tests/chaos/hooks"), "TOOLWORKER_CHAOS_DIR": armed}
        stack = field.stack(workers=2, env=env)
        caller = Caller(field, stack)
        _warm(caller, [QUICK] * 6)
        for seed in range(SEEDS):
            rng = random.Random(seed)
            for moment, waits in worst.items():
                with _traffic(caller) as sent_at:
                    for _ in range(KILLS):
                        time.sleep(rng.uniform(0.3, 0.9))
                        _kill(stack, Path(armed), moment, rng)
                    time.sleep(0.5)
                arrivals = caller.answers(len(sent_at))
                waits.append(max(arrivals[run_id].at - at for run_id, at in sent_at.items()))
    return {moment: round(max(waits), 1) for moment, waits in worst.items()}


def _kill(stack: Stack, armed: Path, moment: str, rng: random.Random) -> None:
    if moment == "worker":
        worker = rng.choice(stack.children("worker"))
        worker.kill()
        stack.start_worker()
        return
    point = armed / moment
    point.touch()
    deadline = time.monotonic() + _WAIT_S
    while point.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no worker came to {moment}")
        time.sleep(0.01)


@contextmanager
def _traffic(caller: Caller) -> Iterator[dict[str, float]]:
    """Runs of three calls, one of which takes 0.2 s, at a steady rate; when each was sent."""
    sent_at: dict[str, float] = {}
    failures: list[BaseException] = []
    stop = threading.Event()

    def send() -> None:
        try:
            while not stop.wait(1 / RATE_PER_S):
                at = time.monotonic()
                run_id, _ = caller.send([QUICK, (TOOL, {"seconds": 0.2}), QUICK])
                sent_at[run_id] = at
        except BaseException as error:  # noqa: BLE001  (raised below, in the main thread)
            failures.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent_at
    finally:
        stop.set()
        thread.join()
    for failure in failures:
        raise failure
