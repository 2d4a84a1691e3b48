"""Steady traffic through a running service, and what must hold of every run at the end."""

import json
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import redis

from ops import deliveries

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
GOOD_ITEMS = [
    {"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"},
    {"sku": "AB-1001", "quantity": 177, "status": "IN_STOCK"},
]
SETTLE_S = 150.0
"""Answer-by, a POST's lease and the visibility timeout, one after the other, and some."""


@dataclass
class Sent:
    """One run that was answered 202."""

    run_id: str
    key: str
    calls: list[tuple[str, str, str]]
    accepted_at: float


@dataclass
class Row:
    """What one fault came to; times in seconds."""

    name: str
    runs: int = 0
    lost: int = 0
    stuck: int = 0
    repeated: int = 0
    twice: int = 0
    wrong: int = 0
    errors: int = 0
    worst_s: float = 0.0
    refused: int = 0
    left: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self):
        """Whether nothing was lost, stuck, wrong, answered twice or left behind."""
        bad = self.lost or self.stuck or self.twice or self.wrong or self.left or self.problems
        return self.runs > 0 and not bad


class Traffic:
    """Sends runs at a steady rate from a thread; a 503 is sent again, as Genesys does."""

    def __init__(self, service, rng, *, rate):
        self._service, self._rng, self._rate = service, rng, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = []
        self.refused = 0
        self._waiting = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for delivery in self._waiting:  # Genesys gives up after 85 s; the fault is over before
            deadline = time.monotonic() + 60
            while not self._send(*delivery) and time.monotonic() < deadline:
                time.sleep(0.2)

    def _run(self):
        number = 0
        while not self._stop.wait(1 / self._rate):
            number += 1
            calls = [
                (f"c{i}", "hold", '{"seconds": 0.2}') if self._rng.random() < 0.2
                else (f"c{i}", "search_inventory", GOOD)
                for i in range(self._rng.choice([0, 1, 2, 3, 3, 3, 3, 5, 12]))
            ]  # fmt: skip
            delivery = (f"run-{number}", calls)
            if not self._send(*delivery):
                self._waiting.append(delivery)

    def _send(self, run_id, calls):
        try:
            answer = self._service.deliver(run_id, *calls)
        except deliveries.NoAnswer:
            self.refused += 1
            return False
        if answer.status != 202:
            assert answer.status == 503, answer
            self.refused += 1
            return False
        self.sent.append(Sent(run_id, answer.body["key"], calls, time.time()))
        return True


def judge(name, service, traffic, *, settle_s=SETTLE_S):
    """Wait until every run has ended and the queues are empty, then hold them to the promises."""
    row = Row(name, runs=len(traffic.sent), refused=traffic.refused)
    deadline = time.monotonic() + settle_s
    while (open_runs := _open(service, traffic.sent)) and time.monotonic() < deadline:
        time.sleep(0.3)
    row.stuck = len(open_runs)
    attempts = {}
    for record in deliveries.get(f"{service.stack.simulator_url}/_sim/submissions").body:
        attempts.setdefault(record["run_id"], []).append(record)
    entries = _entries(service, traffic.sent)
    for sent, entry in zip(traffic.sent, entries, strict=True):
        _judge_run(row, sent, entry, attempts.get(sent.run_id, []))
    row.left = _left_behind(service, deadline)
    return row


def _judge_run(row, sent, entry, attempts):
    accepted = [record for record in attempts if record["status"] == 200]
    if not entry or (entry.get("state") == "submitted" and not accepted):
        row.lost += 1
        row.problems.append(f"{sent.run_id} lost: {entry.get('state')}")
        return
    if entry.get("state") == "dead":
        if entry.get("reason") != "unconfirmed":
            row.problems.append(f"{sent.run_id} dead: {entry.get('reason')}")
        return
    if not accepted:
        return
    if len({record["sha256"] for record in attempts}) > 1:
        row.twice += 1
        row.problems.append(f"{sent.run_id} was sent with different bytes")
    if len(accepted) > 1:
        if entry.get("is_unknown") == "1":
            row.repeated += 1
        else:
            row.twice += 1
            row.problems.append(f"{sent.run_id} was accepted {len(accepted)} times")
    row.worst_s = max(row.worst_s, accepted[0]["at"] - sent.accepted_at)
    outputs = accepted[0]["body"]["tool_calls"]
    if [output["tool_call_id"] for output in outputs] != [call[0] for call in sent.calls]:
        row.wrong += 1
        return
    for (_, tool, _), output in zip(sent.calls, outputs, strict=True):
        value = json.loads(output["output"])
        if "code" in value:
            row.errors += 1
        elif value.get("items") != (
            GOOD_ITEMS if tool == "search_inventory" else [{"state": "slept"}]
        ):
            row.wrong += 1


def _open(service, sent):
    return [
        run for run, entry in zip(sent, _entries(service, sent), strict=True)
        if not entry or entry.get("state") not in ("submitted", "dead")
    ]  # fmt: skip


def _entries(service, sent):
    pipe = service.ledger().pipeline(transaction=False)
    for run in sent:
        pipe.hgetall(f"tw:run:{run.key}")
    return pipe.execute()


def _left_behind(service, deadline):
    """What is still in the queue, unacknowledged or due, waited for until *deadline*."""
    broker = redis.Redis.from_url(service.stack.env["REDIS_URL"])
    while True:
        left = {
            "queued": broker.llen("toolworker"),
            "unacked": broker.hlen("unacked"),
            "due": service.ledger().zcard("tw:due"),
        }
        if not any(left.values()) or time.monotonic() > deadline:
            return ", ".join(f"{n} {name}" for name, n in left.items() if n)
        time.sleep(0.3)


def table(rows):
    """The rows as Markdown, a fault each."""
    lines = [
        "| fault | runs | lost | stuck | answered twice | repeated byte-equal, outcome unknown"
        " | error outputs | 503 or no answer | worst 202 to answer |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        lines.append(
            f"| {r.name} | {r.runs} | {r.lost} | {r.stuck} | {r.twice} | {r.repeated}"
            f" | {r.errors} | {r.refused} | {r.worst_s:.1f} s |"
        )
    total = Counter()
    for r in rows:
        total.update(runs=r.runs, lost=r.lost, stuck=r.stuck, twice=r.twice, repeated=r.repeated)
    worst = max((r.worst_s for r in rows), default=0.0)
    lines.append(
        f"| **all** | {total['runs']} | {total['lost']} | {total['stuck']} | {total['twice']}"
        f" | {total['repeated']} | {sum(r.errors for r in rows)}"
        f" | {sum(r.refused for r in rows)} | {worst:.1f} s |"
    )
    return "\n".join(lines)


def new_rng(seed, name):
    """Randomness that is the same for each run with this seed, and another for each fault."""
    return random.Random(f"{seed}:{name}")


def memory_kb(service):
    """Proportional set size of receiver, workers and reconcilers with all their children, in kB."""
    kinds = ("webhook", "worker", "reconciler")
    waiting = [child.pid for kind in kinds for child in service.stack.children(kind)]
    total = 0
    while waiting:
        pid = waiting.pop()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        waiting += [int(child) for child in children.split()]
    return total
