"""Queue of ended runs whose traces are to be exported: leased to one exporter at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ledger.ledger import Ledger
from ledger.scripts import (
    DEAD,
    ENDED,
    EXPORT_CURSORS,
    EXPORTED_DEAD,
    EXPORTED_ENDED,
    RUN,
    to_text,
)  # fmt: skip

LEASE_MS = 30_000
"""Lease of one exporter, renewed by each take; after its death another takes over."""
OVERLAP_MS = 30_000
"""How far a clock may be set back, by a failover or by hand, without losing a trace."""

_RUN = (
    "run_id", "traceparent", "replays", "state", "reason", "generation", "calls", "accepted_at",
    "begun_at", "ended_at", "attempts", "steps",
)  # fmt: skip
_CALL = ("id", "name", "started_at", "ended_at", "validate_ms", "took_ms", "code", "tries", "bytes")
_ATTEMPT = ("attempt_at", "attempt_status", "attempt_code", "attempt_took_ms")
_STEP = ("step", "step_at")
_TRIES = 3
"""Tries of a call; after the last one it ends as poison."""
_STEPS = 50
"""As many as due.lua keeps."""


class EndedRun(NamedTuple):
    """One end of a run: `kind` is "ended" or "dead"; a dead letter may end again."""

    kind: str
    key: str
    ended_at: str


class EndedRuns:
    """
    The runs that ended and were not exported.

    Raises:
        LedgerUnavailable: From every method, when Redis does not answer in time.
    """

    def __init__(self, ledger: Ledger, owner: str) -> None:
        self._ledger, self._owner = ledger, owner

    def take(self, most: int) -> list[EndedRun] | None:
        """At most *most* runs, dead letters first; None while another exporter has the lease."""
        keys = [ENDED, EXPORTED_ENDED, DEAD, EXPORTED_DEAD, EXPORT_CURSORS]
        word, *words = self._ledger.step(
            "export_take", keys, [self._owner, LEASE_MS, most, OVERLAP_MS]
        )
        if word == b"leased":
            return None
        texts = iter(word.decode() for word in words)
        return [EndedRun(*run) for run in zip(texts, texts, texts, strict=True)]

    def done(self, runs: Sequence[EndedRun]) -> bool:
        """
        Mark runs as exported: they are not taken again. Calling twice is safe.

        Returns:
            False when another exporter has the lease by now, and exports the same runs.
        """
        keys = [EXPORTED_ENDED, EXPORTED_DEAD, EXPORT_CURSORS]
        words = [word for run in runs for word in run]
        bounds = [self._owner, LEASE_MS, OVERLAP_MS]
        return bool(self._ledger.step("export_done", keys, [*bounds, *words]))

    def entries(self, runs: Sequence[EndedRun]) -> list[Mapping[str, str]]:
        """
        The timeline of each run, in their order: no arguments, outputs or bodies.

        Empty for one that is gone, or that was opened again since.
        """
        found = [dict(entry) for entry in self._read([(run.key, _RUN) for run in runs])]
        wanted = [(run.key, tuple(_fields(entry))) for run, entry in zip(runs, found, strict=True)]
        for entry, more in zip(found, self._read(wanted), strict=True):
            entry.update(more)
        return [
            entry if entry.get("ended_at") == run.ended_at else {}
            for run, entry in zip(runs, found, strict=True)
        ]

    def _read(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Mapping[str, str]]:
        with self._ledger.client.pipeline(transaction=False) as pipe:
            for key, fields in wanted:
                pipe.hmget(f"{RUN}{key}", fields)
            answers: list[Any] = self._ledger.call(pipe.execute)
        for (_, fields), values in zip(wanted, answers, strict=True):
            pairs = zip(fields, values, strict=True)
            yield {name: to_text(value) for name, value in pairs if value is not None}


def _fields(entry: Mapping[str, str]) -> Iterator[str]:
    """Names of the fields of calls, attempts, steps and replays."""
    counts = (
        (_CALL, 0, int(entry.get("calls", 0))),
        (_ATTEMPT, 1, int(entry.get("attempts", 0)) + 1),
        (_STEP, 1, min(int(entry.get("steps", 0)), _STEPS) + 1),
        (("replayed_at",), 0, int(entry.get("generation", 0)) + 1),
    )
    for names, first, end in counts:
        for index in range(first, end):
            yield from (f"{name}:{index}" for name in names)
            if names is _CALL:
                yield from (f"try_at:{index}:{n}" for n in range(2, _TRIES + 1))
