"""Operators' queries over runs: find, list, count, replay a dead letter, drop one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ledger.errors import NoSuchRun, NotReplayable
from ledger.ledger import Ledger
from ledger.scripts import DEAD, DUE, ENDED, RUN, SEND_QUEUE, UNPUBLISHED, WAITING, to_text

RETRYABLE_CODES = ("timeout", "unavailable")
"""Codes of error outputs that the same call may not end in next time."""

Mode = Literal["submission", "failed-calls", "full"]
Kind = Literal["open", "submitted", "dead"]
KINDS: tuple[Kind, ...] = ("open", "submitted", "dead")

_SUMMARY = (
    "run_id", "state", "generation", "calls", "outputs", "attempts",
    "accepted_at", "begun_at", "answer_by", "ended_at", "reason",
)  # fmt: skip
_AT_ONCE = 1_000

_NOT_REPLAYABLE = {
    "gone": "no such run",
    "open": "the run is open, or ended well",
    "not ended": "the run is open",
    "no body": "nothing was ready to send; replay it with --mode failed-calls or full",
}


def is_data(field: str) -> bool:
    """Whether a field of a run's entry holds a caller's arguments or identity, rows, or both."""
    return field in ("body", "bound", "bound_digests") or field.startswith(
        ("arguments:", "output:")
    )


@dataclass(frozen=True)
class Place:
    """
    When a run is looked at next, and how many runs are before it; None where it is in no queue.

    `begins_after` counts runs that no worker has begun, `turn_after` those of the send queue. A run
    without `has_message` has no message yet: a reconciler publishes it in its turn.
    All times are milliseconds since the epoch.
    """

    now_ms: int
    due_at: int | None
    begins_after: int | None
    turn_after: int | None
    has_message: bool = True


@dataclass(frozen=True)
class Counts:
    """
    How many runs are open and how many are dead letters, and ages, 0 where there is none.

    `oldest_waiting_ms` is of the oldest run that no worker has begun.
    """

    open_runs: int
    oldest_open_ms: int
    oldest_waiting_ms: int
    dead_letters: int


class RunStore:
    """
    All runs of one ledger.

    Raises:
        LedgerUnavailable: From every method, when Redis does not answer in time.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def replay(self, key: str, mode: Mode) -> int:
        """
        Open a dead letter again, with fresh clocks; the reconciler takes it from there.

        Args:
            mode: "submission" sends the frozen bytes again, under the same key; "failed-calls"
                takes the calls again that ended in a retryable error; "full" takes all again.

        Returns:
            The generation that will be answered.

        Raises:
            NotReplayable: It is unknown, has not ended as a dead letter, or has no body to send.
        """
        clocks = [self._ledger.answer_by_ms, self._ledger.expires_ms]
        keys = [f"{RUN}{key}", DUE, DEAD, UNPUBLISHED]
        word, *generation = self._ledger.step(
            "replay", keys, [key, mode, *clocks, *RETRYABLE_CODES]
        )
        if word != b"replayed":
            raise NotReplayable(_NOT_REPLAYABLE[to_text(word)])
        return int(generation[0])

    def drop(self, key: str) -> None:
        """
        Delete a run that has ended.

        Raises:
            NotReplayable: It is unknown or still open.
        """
        word = to_text(self._ledger.step("drop", [f"{RUN}{key}", ENDED, DEAD], [key]))
        if word != "dropped":
            raise NotReplayable(_NOT_REPLAYABLE[word])

    def keys(self, kind: Kind) -> list[str]:
        """The keys of all open, well-ended or dead runs, oldest first."""
        name = {"open": DUE, "submitted": ENDED, "dead": DEAD}[kind]
        found = self._ledger.call(lambda: self._ledger.client.zrange(name, 0, -1))
        return [key.decode() for key in found]

    def find(self, name: str) -> str:
        """
        The key of a run, given its key, or a run id or trace id that belongs to one run only.

        Raises:
            NoSuchRun: No run, or several; then their keys are named.
        """
        if self.entry(name):
            return name
        keys = [key for kind in KINDS for key in self.keys(kind)]
        ids = self._read(keys, ("run_id", "traceparent"))
        found = [key for key, of in zip(keys, ids, strict=True) if name in _names(*of)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchRun(f"{name} called tools {len(found)} times: {', '.join(found)}")
        raise NoSuchRun(f"no run has the key, the id or the trace id {name}")

    def outline(self, key: str) -> dict[str, str]:
        """Every field of one run, those with data empty (see `is_data`); empty without a run."""
        name = f"{RUN}{key}"
        fields = [
            field.decode() for field in self._ledger.call(lambda: self._ledger.client.hkeys(name))
        ]
        plain = [field for field in fields if not is_data(field)]
        values = self._ledger.call(lambda: self._ledger.client.hmget(name, plain)) if plain else []
        known = {f: to_text(v) for f, v in zip(plain, values, strict=True) if v is not None}
        # one that was dropped, or ended, between the two replies
        return {**dict.fromkeys(filter(is_data, fields), ""), **known} if "state" in known else {}

    def entry(self, key: str) -> dict[str, str]:
        """Every field of one run as text; empty when there is none."""
        found = self._ledger.call(lambda: self._ledger.client.hgetall(f"{RUN}{key}"))
        return {name.decode(): to_text(value) for name, value in found.items()}

    def place(self, key: str) -> Place:
        """Where a run stands among the others, by the ledger's own clock."""

        def query() -> Any:
            with self._ledger.client.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.zscore(DUE, key)
                pipe.zrank(WAITING, key)
                pipe.zrank(SEND_QUEUE, key)
                pipe.zscore(UNPUBLISHED, key)
                return pipe.execute()

        (seconds, micros), due_at, begins_after, turn_after, behind = self._ledger.call(query)
        now_ms = seconds * 1000 + micros // 1000
        due_at = None if due_at is None else int(due_at)
        return Place(now_ms, due_at, begins_after, turn_after, has_message=behind is None)

    def counts(self) -> Counts:
        """How many runs there are; a replay counts from when it was opened again."""
        ledger, keys = self._ledger, self.keys("open")
        (seconds, micros), dead, first = ledger.call(
            lambda: (
                ledger.client.time(),
                ledger.client.zcard(DEAD),
                ledger.client.zrange(WAITING, 0, 0, withscores=True),
            )
        )
        now_ms, oldest_ms = seconds * 1000 + micros // 1000, 0
        waiting_ms = max([0, *(now_ms - int(accepted_at) for _, accepted_at in first)])
        for (expires_at,) in self._read(keys, ["expires_at"]):
            if expires_at:
                oldest_ms = max(oldest_ms, now_ms - int(expires_at) + ledger.expires_ms)
        return Counts(len(keys), oldest_ms, waiting_ms, dead)

    def dead_letter_keys(self, within_s: float) -> list[str]:
        """The keys of runs that ended as dead letters within *within_s* seconds, oldest first."""
        since, until = self._lately(within_s)
        client = self._ledger.client
        found = self._ledger.call(lambda: client.zrangebyscore(DEAD, since, until))
        return [key.decode() for key in found]

    def new_dead_letters(self, within_s: float) -> int:
        """How many runs ended as dead letters within *within_s* seconds and still are."""
        return int(
            self._ledger.call(lambda: self._ledger.client.zcount(DEAD, *self._lately(within_s)))
        )

    def ended_calls(self, within_s: float, *, most: int) -> list[tuple[str, str]]:
        """Tool and code of each call of runs that ended well within *within_s*, newest *most*."""
        since, until = self._lately(within_s)
        keys = self._ledger.call(
            lambda: self._ledger.client.zrange(
                ENDED, until, since, desc=True, byscore=True, offset=0, num=most
            )
        )
        found = []
        for entry in (self.entry(key.decode()) for key in keys):
            calls = range(int(entry.get("calls", 0)))
            found += [
                (entry[f"name:{n}"], entry[f"code:{n}"]) for n in calls if f"code:{n}" in entry
            ]
        return found

    def _lately(self, within_s: float) -> tuple[int, str]:
        """Scores from *within_s* seconds ago until now, by the ledger's clock."""
        seconds, _ = self._ledger.call(self._ledger.client.time)
        return int((seconds - within_s) * 1000), "+inf"

    def summaries(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """Key and main fields of each run, in the order of *keys*; those that are gone left out."""
        found = []
        for key, values in zip(keys, self._read(keys, _SUMMARY), strict=True):
            if values[0] is not None:
                texts = [to_text(value or b"") for value in values]
                found.append({"key": key, **dict(zip(_SUMMARY, texts, strict=True))})
        return found

    def _read(self, keys: Sequence[str], fields: Sequence[str]) -> Iterator[Any]:
        """The *fields* of each run, a thousand runs a round trip."""
        for first in range(0, len(keys), _AT_ONCE):
            with self._ledger.client.pipeline(transaction=False) as pipe:
                for key in keys[first : first + _AT_ONCE]:
                    pipe.hmget(f"{RUN}{key}", fields)
                yield from self._ledger.call(pipe.execute)


def _names(run_id: bytes | None, traceparent: bytes | None) -> tuple[str, str]:
    """The run id and the sender's trace id of a run, "" for those that it has not."""
    return to_text(run_id or b""), to_text(traceparent or b"")[3:35]
