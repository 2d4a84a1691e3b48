"""Read one summary line per run for list pages: one or two round trips for 500 runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

from redis.exceptions import ResponseError

from ledger.bounds import SILENT_MS
from ledger.ledger import Ledger
from ledger.scripts import DEAD, DUE, ENDED, RECONCILERS, RUN, SEND_QUEUE, WAITING, to_text

_RUN_FIELDS = (
    "run_id", "state", "generation", "calls", "outputs", "attempts",
    "accepted_at", "begun_at", "answer_by", "ended_at", "reason", "traceparent",
)  # fmt: skip
_CALL_FIELDS = ("name", "code", "took_ms", "ended_at")
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call: `code` is "" and the times (ms) are 0 until it is answered."""

    tool: str
    code: str
    took_ms: int
    ended_at: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """
    One run; times are milliseconds since the epoch, 0 where it has none.

    `trace_id` is the sender's, "" without one: then the run's key is its trace id.
    """

    key: str
    run_id: str
    state: str
    generation: int
    outputs: int
    attempts: int
    accepted_at: int
    begun_at: int
    answer_by: int
    ended_at: int
    reason: str
    calls: tuple[CallLine, ...]
    correlation_ids: tuple[str, ...]
    trace_id: str

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended."""
        return self.state not in ("submitted", "dead")


@dataclass(frozen=True)
class Members:
    """
    Which runs there are at `now_ms`: keys of open ones, and of ended ones with the time.

    `submitted` has those that ended at `since` or later; `count` is of all that ended well, and
    `oldest_ms` when the first of them did (0 without any).
    """

    now_ms: int
    open_keys: tuple[str, ...]
    dead: Mapping[str, int]
    submitted: Mapping[str, int]
    count: int
    oldest_ms: int


@dataclass(frozen=True)
class LedgerStatus:
    """
    The ledger as a whole.

    `waiting` runs no worker has begun, the first of them for `oldest_waiting_ms`; `sending` are in
    the send queue; `overdue_ms` is by how much the first due run is late (0 without one).
    `reconcilers` is milliseconds since the last sign of each, by name. Bytes are 0 where the
    server does not report them or has no limit.
    """

    waiting: int
    oldest_waiting_ms: int
    sending: int
    overdue_ms: int
    reconcilers: Mapping[str, int]
    used_bytes: int
    max_bytes: int

    def at_work(self) -> list[str]:
        """The reconcilers that gave a sign within the last 15 s."""
        return [name for name, ago_ms in self.reconcilers.items() if ago_ms < SILENT_MS]


class RunLines:
    """
    Reads lines of runs; each method costs one or two round trips for 500 runs.

    Raises:
        LedgerUnavailable: From every method, when Redis does not answer in time.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def members(self, since_ms: int) -> Members:
        """Which runs there are; of those that ended well the ones since *since_ms*."""
        answer = self._read(
            lambda pipe: (
                pipe.time(),
                pipe.zrange(DUE, 0, -1),
                pipe.zrange(DEAD, 0, -1, withscores=True),
                pipe.zrangebyscore(ENDED, since_ms, "+inf", withscores=True),
                pipe.zcard(ENDED),
                pipe.zrange(ENDED, 0, 0, withscores=True),
            )
        )
        time, due, dead, submitted, count, oldest = answer
        keys = tuple(key.decode() for key in due)
        return Members(
            _ms(time), keys, _scores(dead), _scores(submitted), count, _first(oldest) or 0
        )

    def lines(self, keys: Sequence[str]) -> dict[str, RunLine]:
        """The line of each run; those that are gone are left out."""
        found = {}
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            answers = self._read(
                lambda pipe, some=some: [pipe.hmget(f"{RUN}{key}", _RUN_FIELDS) for key in some]
            )
            runs = {k: v for k, v in zip(some, answers, strict=True) if v[0] is not None}
            wanted = {key: _further(int(v[3]), int(v[5] or 0)) for key, v in runs.items()}
            further = self._read(
                lambda pipe, wanted=wanted: [
                    pipe.hmget(f"{RUN}{key}", fields) for key, fields in wanted.items()
                ]
            )
            for (key, values), more in zip(runs.items(), further, strict=True):
                found[key] = _line(key, values, more)
        return found

    def states(self, keys: Sequence[str]) -> dict[str, tuple[int, int, str]]:
        """Outputs, attempts and state of runs: what changes while one is open."""
        found = {}
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            answers = self._read(
                lambda pipe, some=some: [
                    pipe.hmget(f"{RUN}{key}", ("outputs", "attempts", "state")) for key in some
                ]
            )
            for key, (outputs, attempts, state) in zip(some, answers, strict=True):
                if state is not None:
                    found[key] = (int(outputs), int(attempts or 0), state.decode())
        return found

    def status(self) -> LedgerStatus:
        """The ledger as a whole, for a view of the fleet."""
        time, waiting, oldest, sending, due, seen = self._read(
            lambda pipe: (
                pipe.time(),
                pipe.zcard(WAITING),
                pipe.zrange(WAITING, 0, 0, withscores=True),
                pipe.zcard(SEND_QUEUE),
                pipe.zrange(DUE, 0, 0, withscores=True),
                pipe.zrange(RECONCILERS, 0, -1, withscores=True),
            )
        )
        now_ms = _ms(time)
        memory = self._ledger.call(self._memory)
        due_at = _first(due)
        return LedgerStatus(
            waiting,
            now_ms - (_first(oldest) or now_ms),
            sending,
            max(0, now_ms - due_at) if due_at else 0,
            {name: now_ms - at for name, at in _scores(seen).items()},
            int(memory.get("used_memory", 0)),
            int(memory.get("maxmemory", 0)),
        )

    def _memory(self) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self._ledger.client.info("memory")
            return found
        except ResponseError:  # hosted servers may refuse it
            return {}

    def _read(self, queue: Any) -> Any:
        def query() -> Any:
            with self._ledger.client.pipeline(transaction=False) as pipe:
                queue(pipe)
                return pipe.execute()

        return self._ledger.call(query)


def _further(calls: int, attempts: int) -> list[str]:
    """The fields of a run's calls, and of its attempts the correlation ids, newest 20."""
    listed = [f"{name}:{index}" for index in range(calls) for name in _CALL_FIELDS]
    newest = range(max(1, attempts - 19), attempts + 1)
    return listed + [f"attempt_correlation_id:{attempt}" for attempt in newest] or ["state"]


def _line(key: str, values: Sequence[bytes | None], more: Sequence[bytes | None]) -> RunLine:
    texts = [to_text(value or b"") for value in values]
    count = int(texts[3]) * len(_CALL_FIELDS)
    generation, _, outputs, attempts, *times = (int(text or 0) for text in texts[2:10])
    accepted_at, begun_at, answer_by, ended_at = times
    calls = tuple(_call(more[at : at + 4]) for at in range(0, count, len(_CALL_FIELDS)))
    ids = tuple(to_text(value) for value in more[count:] if value and int(texts[5] or 0))
    return RunLine(
        key,
        texts[0],
        intern(texts[1]),
        generation,
        outputs,
        attempts,
        accepted_at,
        begun_at,
        answer_by,
        ended_at,
        intern(texts[10]),
        calls,
        ids,
        texts[11][3:35],
    )


def _call(values: Sequence[bytes | None]) -> CallLine:
    name, code, took_ms, ended_at = values
    # a code of a replayed call is gone, its times are not
    times = (int(took_ms or 0), int(ended_at or 0)) if code else (0, 0)
    return CallLine(intern(to_text(name or b"")), intern(to_text(code or b"")), *times)


def _ms(time: tuple[int, int]) -> int:
    return time[0] * 1000 + time[1] // 1000


def _first(scored: Sequence[tuple[bytes, float]]) -> int | None:
    return int(scored[0][1]) if scored else None


def _scores(scored: Sequence[tuple[bytes, float]]) -> dict[str, int]:
    return {key.decode(): int(at) for key, at in scored}
