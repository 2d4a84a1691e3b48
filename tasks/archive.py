"""What an operator does with runs: look them up, replay a dead letter, drop one."""

from collections.abc import Sequence
from typing import Any, Literal

from tasks.errors import NotReplayable
from tasks.ledger import DEAD, DUE, ENDED, RUN, Ledger, to_text

RETRYABLE_CODES = ("timeout", "unavailable")
"""Codes of error outputs that the same call may not end in next time."""

Mode = Literal["submission", "failed-calls", "full"]

_NOT_REPLAYABLE = {
    b"gone": "no such run",
    b"open": "the run is open, or ended well",
    b"no body": "nothing was ready to send; replay it with --mode failed-calls or full",
}


class Archive:
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
                asks again what ended in a retryable error; "full" asks everything again.

        Returns:
            The generation that will be answered.

        Raises:
            NotReplayable: It is unknown, has not ended as a dead letter, or has no body to send.
        """
        times = [self._ledger.answer_by_ms, self._ledger.expires_ms]
        answer = self._ledger.run_step("replay", key, [mode, *times, *RETRYABLE_CODES])
        if answer[0] != b"replayed":
            raise NotReplayable(_NOT_REPLAYABLE[answer[0]])
        generation: int = answer[1]
        return generation

    def drop(self, key: str) -> None:
        """
        Forget a run that has ended.

        Raises:
            NotReplayable: It is unknown or still open.
        """
        answer = self._ledger.run_step("drop", key, [DEAD])
        if answer != b"dropped":
            raise NotReplayable(_NOT_REPLAYABLE[answer])

    def keys(self, kind: Literal["open", "ended", "dead"]) -> list[str]:
        """The keys of all open, well-ended or dead runs, oldest first."""
        name = {"open": DUE, "ended": ENDED, "dead": DEAD}[kind]
        found = self._ledger.ask(lambda: self._ledger.client.zrange(name, 0, -1))
        return [key.decode() for key in found]

    def entries(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """All fields of each run as text, in the order of *keys*; an unknown one is empty."""

        def read() -> Any:
            with self._ledger.client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hgetall(f"{RUN}{key}")
                return pipe.execute()

        return [
            {name.decode(): to_text(value) for name, value in entry.items()}
            for entry in self._ledger.ask(read)
        ]
