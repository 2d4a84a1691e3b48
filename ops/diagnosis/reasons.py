"""The result of a diagnosis: a reason of a closed list, facts, commands to type next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ledger.admin import Place
from ops.diagnosis.timeline import when

Reason = Literal[
    "NO_WORKER",
    "QUEUED",
    "RUNNING",
    "WAITING_ON_DATABASE",
    "RATE_LIMITED",
    "RETRYING",
    "CIRCUIT_OPEN",
    "ORPHANED",
    "DEAD",
    "DONE",
]

EXIT_CODES: Mapping[Reason, int] = {"DONE": 0, "DEAD": 4}
"""Exit codes of `toolworker runs why`; every other reason is of an open run, and exits OPEN."""
OPEN = 3

OVERDUE_MS = 3_000
"""A reconciler looks every 0.5 s; a run that is due for longer has no reconciler."""

_BEGIN_MS = 5_000  # the reconciler publishes a run again after this, so a message may be lost
_ANSWER_MS = 2_000  # an answer that started at answer-by may be under way for this long

Facts = dict[str, Any]


@dataclass(frozen=True)
class Diagnosis:
    """`sentence` is one line for people; `facts` are plain JSON, times in ISO 8601 (UTC)."""

    reason: Reason
    sentence: str
    facts: Facts
    next: tuple[str, ...]


def is_stuck(now_ms: int, accepted_at: int, begun_at: int, answer_by: int) -> bool:
    """Whether an open run should have been begun or answered; times in ms, 0 for one unknown."""
    is_late = now_ms > answer_by + _ANSWER_MS
    return is_late or (not begun_at and now_ms > accepted_at + _BEGIN_MS)


def is_overdue(place: Place) -> bool:
    """Whether the run's due time has passed by more than a reconciler ever takes."""
    return place.due_at is not None and place.due_at < place.now_ms - OVERDUE_MS


def last_attempt(entry: Mapping[str, str]) -> Facts | None:
    """The newest attempt with a known outcome, with Genesys' own error; None without one."""
    for attempt in range(int(entry.get("attempts", 0)), 0, -1):
        outcome: Facts = {
            name: entry[f"attempt_{name}:{attempt}"]
            for name in ("status", "code", "correlation_id", "error", "took_ms")
            if f"attempt_{name}:{attempt}" in entry
        }
        for name in ("status", "took_ms"):
            if name in outcome:
                outcome[name] = int(outcome[name])
        if outcome:
            return {"attempt": attempt, "at": when(entry[f"attempt_at:{attempt}"]), **outcome}
    return None
