"""Index of the ledger's runs in this process' memory: newest first, by state, tool, code, age."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ledger.ledger import Ledger
from ledger.lines import RunLine, RunLines
from ops.diagnosis.reasons import is_stuck

MOST_SUBMITTED = 50_000
"""At most this many runs that ended well are listed, the newest; 50,000 take about 60 MB."""
_OVERLAP_MS = 2_000
"""Time before the last look that is read again: Redis' clock stands still within a script."""


@dataclass(frozen=True)
class Filters:
    """Filters of a list; empty means everything. `since_ms` counts from acceptance."""

    state: str = ""
    tool: str = ""
    code: str = ""
    since_ms: int = 0

    def takes(self, run: RunLine, now_ms: int) -> bool:
        """Whether *run* passes the filters."""
        if run.accepted_at < self.since_ms:
            return False
        if self.state and not _has_state(run, self.state, now_ms):
            return False
        if not self.tool and not self.code:
            return True
        for call in run.calls:  # of 10,000 runs; `any` takes twice as long
            if self.tool in ("", call.tool) and self.code in ("", call.code):
                return True
        return False


@dataclass(frozen=True)
class Snapshot:
    """
    All runs at one moment, newest first.

    `counts` has how many are open, submitted and dead; `tools` were called, and `codes` are what
    calls ended in but "ok"; `left_out` runs that ended well are too many for the list.
    """

    now_ms: int
    runs: Sequence[RunLine]
    by_key: Mapping[str, RunLine] = field(repr=False)
    open_runs: Sequence[RunLine] = field(repr=False, default=())
    counts: Mapping[str, int] = field(default_factory=dict)
    tools: Sequence[str] = ()
    codes: Sequence[str] = ()
    left_out: int = 0

    @cached_property
    def stuck(self) -> Sequence[RunLine]:
        """Open runs that should have been begun or answered, oldest first."""
        found = [run for run in self.open_runs if _has_state(run, "stuck", self.now_ms)]
        return sorted(found, key=_order, reverse=True)

    def find(self, name: str) -> Sequence[RunLine]:
        """The runs with this key, run id, trace id or correlation id, newest first."""
        if name in self.by_key:
            return [self.by_key[name]]
        return [
            run
            for run in self.runs
            if name in (run.run_id, run.trace_id) or name in run.correlation_ids
        ]

    def page(
        self, filters: Filters, *, before: tuple[int, str] | None, size: int
    ) -> tuple[Sequence[RunLine], bool]:
        """
        The next *size* runs that pass, and whether there are more.

        Args:
            before: Acceptance and key of the last one of the page before; stays true when new runs
                come in on top.
        """
        first = 0
        if before is not None:
            first = bisect_left(self.runs, (-before[0], before[1]), key=_order)
            if first < len(self.runs) and _order(self.runs[first]) == (-before[0], before[1]):
                first += 1
        found: list[RunLine] = []
        for at in range(first, len(self.runs)):
            if filters.takes(self.runs[at], self.now_ms):
                if len(found) == size:
                    return found, True
                found.append(self.runs[at])
        return found, False


class RunIndex:
    """
    Follows the ledger: reads open runs each time, ended ones once.

    It costs the ledger one command for each open run and look, and nothing on its hot path.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._lines = RunLines(ledger)
        self._open: dict[str, RunLine] = {}
        self._dead: dict[str, RunLine] = {}
        self._submitted: dict[str, RunLine] = {}
        self._since_ms = 0
        self._last: Snapshot | None = None

    def refresh(self) -> Snapshot:
        """
        Read what changed. Not for several threads at once.

        Raises:
            LedgerUnavailable: Redis does not answer in time.
        """
        before = (self._open, len(self._submitted), len(self._dead))
        members = self._lines.members(self._since_ms)
        self._submitted = {
            k: run for k, run in self._submitted.items() if run.ended_at >= members.oldest_ms
        }
        if members.count < len(self._submitted.keys() | members.submitted.keys()):
            members = self._lines.members(0)  # some were dropped
            self._submitted = {k: r for k, r in self._submitted.items() if k in members.submitted}
        newest = dict(list(members.submitted.items())[-MOST_SUBMITTED:])
        submitted = self._changed(self._submitted, newest)
        self._submitted.update(submitted)
        dead = self._changed(self._dead, members.dead)
        self._dead = {k: run for k, run in self._dead.items() if k in members.dead} | dead
        self._open = self._reread(members.open_keys)
        is_same = before == (self._open, len(self._submitted), len(self._dead))
        self._since_ms = members.now_ms - _OVERLAP_MS
        while len(self._submitted) > MOST_SUBMITTED:
            del self._submitted[next(iter(self._submitted))]
        if self._last is not None and is_same and not submitted and not dead:
            # what was counted stays true, while the clock goes on
            self._last = replace(self._last, now_ms=members.now_ms)
        else:
            self._last = self._snapshot(members.now_ms, members.count)
        return self._last

    def _changed(self, known: Mapping[str, RunLine], now: Mapping[str, int]) -> dict[str, RunLine]:
        """Lines of ended runs that are not known as they are now: a replay ends again."""
        wanted = [key for key, at in now.items() if key not in known or known[key].ended_at != at]
        return self._lines.lines(wanted)

    def _reread(self, keys: Iterable[str]) -> dict[str, RunLine]:
        """Lines of the open runs: those unknown, begun or with a further output are read whole."""
        keys = list(keys)
        states = self._lines.states([key for key in keys if key in self._open])
        found: dict[str, RunLine] = {}
        for key in keys:
            if key not in states:
                continue
            outputs, attempts, state = states[key]
            run = self._open[key]
            if run.state == state and run.outputs == outputs:
                same = run.attempts == attempts
                found[key] = run if same else replace(run, attempts=attempts)
        return found | self._lines.lines([key for key in keys if key not in found])

    def _snapshot(self, now_ms: int, submitted: int) -> Snapshot:
        # an ended run may still stand among those that are due, for a moment
        by_key = {**self._open, **self._submitted, **self._dead}
        runs = sorted(by_key.values(), key=_order)
        open_runs = [run for run in self._open.values() if by_key[run.key].is_open]
        calls = {(call.tool, call.code) for run in runs for call in run.calls}
        return Snapshot(
            now_ms,
            runs,
            by_key,
            open_runs,
            Counter("open" if run.is_open else run.state for run in runs),
            sorted({tool for tool, _ in calls}),
            sorted({code for _, code in calls} - {"", "ok"}),
            max(0, submitted - len(self._submitted)),
        )


def _order(run: RunLine) -> tuple[int, str]:
    return -run.accepted_at, run.key


def _has_state(run: RunLine, state: str, now_ms: int) -> bool:
    if state == "open":
        return run.is_open
    if state == "stuck":
        return run.is_open and is_stuck(now_ms, run.accepted_at, run.begun_at, run.answer_by)
    return run.state == state
