"""Due runs: those that need a step by now, each given to one reconciler at a time."""

from collections.abc import Mapping

from ledger import bounds
from ledger.ledger import Ledger, trace_of
from ledger.scripts import BEGUN, DUE, RECONCILERS, RUN, SEND_QUEUE, UNPUBLISHED, WAITING, to_text
from ledger.values import DueRun


class DueRuns:
    """
    The due runs of one ledger.

    Raises:
        LedgerUnavailable: From every method, when Redis does not reply in time.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def seen(self, name: str) -> None:
        """Note that the reconciler *name* is at work; it is forgotten after a minute."""
        self._ledger.step("seen", [RECONCILERS, DUE], [name, bounds.SEEN_MS])

    def take(
        self,
        *,
        senders: int,
        may_go: int | None = None,
        queued: Mapping[str, int] | None = None,
        first_calls: int = 0,
    ) -> list[DueRun]:
        """
        Take runs that need a step; submissions inside their answer-by first, nearest first.

        Args:
            senders: At most so many steps that need one.

            may_go: At most so many submissions; None means as many as senders.

            queued: How many messages each of the broker's queues holds: that of runs, that of
                calls, that of a large run's further calls; None when it is not known, and then no
                message counts as waiting.

            first_calls: So many calls of a run are never among the further ones.
        """
        most = senders if may_go is None else may_go
        limits = [bounds.DUE_AT_ONCE, bounds.STEP_MS, senders, most]
        messages = [bounds.MESSAGES, bounds.REPLAY_MESSAGES, first_calls, bounds.UNREAD_MS]
        lengths = [word for pair in (queued or {}).items() for word in pair]
        answer = self._ledger.step(
            "due",
            [DUE, SEND_QUEUE, WAITING, BEGUN, UNPUBLISHED],
            [RUN, *limits, *messages, len(lengths) // 2, *lengths, *bounds.REPUBLISH_MS],
        )
        return [
            DueRun(
                key.decode(),
                to_text(run_id),
                int(generation),
                step.decode(),
                trace_of(key.decode(), *trace),
            )
            for key, run_id, generation, step, *trace in answer
        ]
