"""Steady traffic through a running service, and the judge of every run at the end."""

import json
import random
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

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
    dead: int = 0
    forgotten: int = 0
    unsent: int = 0
    errors: int = 0
    worst_s: float = 0.0
    refused: int = 0
    left: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self):
        """Whether nothing was lost, stuck, wrong, unsent, answered twice or left behind."""
        bad = self.lost or self.stuck or self.twice or self.wrong or self.unsent or self.left
        return self.runs > 0 and not bad and not self.problems


class Traffic:
    """Sends runs at a steady rate from a thread; a 503 is sent again, as Genesys does."""

    def __init__(self, service, rng, *, rate):
        self._service, self._rng, self._rate = service, rng, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = []
        self.refused = 0
        self.unsent = 0
        self.unexpected = []
        self._waiting = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for delivery in self._waiting:  # Genesys gives up after 85 s; the fault is over before
            deadline = time.monotonic() + 60
            while not (is_sent := self._send(*delivery)) and time.monotonic() < deadline:
                time.sleep(0.2)
            self.unsent += not is_sent

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
            if answer.status != 503:
                self.unexpected.append(f"{run_id} was answered {answer}")
            self.refused += 1
            return False
        self.sent.append(Sent(run_id, answer.body["key"], calls, time.time()))
        return True


def judge(name, service, traffic, *, emptied_at=None):
    """
    Wait until every run has ended and the queues are empty, then hold them to the promises.

    Args:
        emptied_at: When the ledger lost all that it held, in seconds since the epoch; of runs that
            were accepted before, it needs to know nothing.
    """
    row = Row(name, runs=len(traffic.sent), refused=traffic.refused, unsent=traffic.unsent)
    row.problems += traffic.unexpected
    deadline = time.monotonic() + SETTLE_S
    kept = [sent for sent in traffic.sent if sent.accepted_at >= (emptied_at or 0)]
    while (open_runs := _open(service, kept)) and time.monotonic() < deadline:
        time.sleep(0.3)
    row.stuck = len(open_runs)
    attempts = {}
    for record in deliveries.get(f"{service.stack.simulator_url}/_sim/submissions").body:
        attempts.setdefault(record["run_id"], []).append(record)
    entries = _entries(service, traffic.sent)
    row.left = _left_behind(service, deadline)
    for sent, entry in zip(traffic.sent, entries, strict=True):
        may_be_forgotten = sent.accepted_at < (emptied_at or 0)
        judge_run(row, sent, entry, attempts.get(sent.run_id, []), may_be_forgotten)
    return row


def judge_run(row, sent, entry, attempts, may_be_forgotten):
    """Add one run to *row*: its entry in the ledger ({} if none), its POSTs as Genesys saw them."""
    accepted = [record for record in attempts if record["status"] == 200]
    if not entry and may_be_forgotten and not accepted:
        row.forgotten += 1
        return
    is_kept = entry or may_be_forgotten
    if not is_kept or (entry.get("state") == "submitted" and not accepted):
        row.lost += 1
        row.problems.append(f"{sent.run_id} lost: {entry.get('state')}")
        return
    if entry.get("state") == "dead":
        _judge_dead_letter(row, sent, entry)
    if len({record["sha256"] for record in attempts}) > 1:
        row.twice += 1
        row.problems.append(f"{sent.run_id} was sent with different bytes")
    if len(accepted) > 1:
        if _has_unknown(entry):
            row.repeated += 1
        else:
            row.twice += 1
            row.problems.append(f"{sent.run_id} was accepted {len(accepted)} times")
    if not accepted or entry.get("state") == "dead":
        return
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


def _judge_dead_letter(row, sent, entry):
    """Only an attempt that may have arrived excuses one: no fault here makes Genesys refuse."""
    row.dead += 1
    reason = entry.get("reason")
    if reason != "unconfirmed" or not _has_unknown(entry):
        row.lost += 1
        row.problems.append(f"{sent.run_id} dead: {reason} after {entry.get('attempts')} attempts")


def _has_unknown(entry):
    """Whether an attempt got no answer, by what was written down of each, not by a verdict."""
    numbers = range(1, int(entry.get("attempts", 0)) + 1)
    return any(f"attempt_status:{number}" not in entry for number in numbers)


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
    broker = service.broker()
    while True:
        left = {
            "queued": sum(broker.llen(queue) for queue in service.queues()),
            "unacked": broker.hlen("unacked"),
            "due": service.ledger().zcard("tw:due"),
        }
        if not any(left.values()) or time.monotonic() > deadline:
            return ", ".join(f"{n} {name}" for name, n in left.items() if n)
        time.sleep(0.3)


_COLUMNS = {
    "runs": "runs",
    "lost": "lost",
    "stuck": "stuck",
    "twice": "answered twice",
    "repeated": "repeated byte-equal, outcome unknown",
    "dead": "dead letters",
    "forgotten": "open when the ledger was emptied",
    "errors": "error outputs",
    "refused": "503 or no answer",
    "unsent": "never sent",
}


def table(rows):
    """The rows as Markdown, a fault each."""
    heads = ["fault", *_COLUMNS.values(), "worst 202 to answer"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for row in rows:
        counts = [getattr(row, name) for name in _COLUMNS]
        lines.append(_line([row.name, *counts, f"{row.worst_s:.1f} s"]))
    totals = [sum(getattr(row, name) for row in rows) for name in _COLUMNS]
    worst_s = max((row.worst_s for row in rows), default=0.0)
    return "\n".join([*lines, _line(["**all**", *totals, f"{worst_s:.1f} s"])])


def _line(cells):
    return f"| {' | '.join(map(str, cells))} |"


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
