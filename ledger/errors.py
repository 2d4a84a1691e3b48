"""
Errors of the ledger; the class decides what follows.

    LedgerUnavailable    Redis did not reply: try again, the step may or may not have been taken
    Conflict             a known run with other calls: refuse the delivery
    Busy                 too many runs wait for a worker: refuse deliveries for a while
    NoSuchRun            no run, or several, have that name: report it to the operator
    NotReplayable        the run cannot be replayed or dropped: report it to the operator
"""


class LedgerUnavailable(Exception):
    """The ledger's Redis could not be reached in time; repeating the same step is safe."""


class Conflict(Exception):
    """A run with the same key but other tool names or arguments was accepted before."""


class Busy(Exception):
    """
    No further run is accepted for now; those that were accepted go on.

    Args:
        retry_after_s: When it is worth trying again, in whole seconds, at least 1.
    """

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"too many runs wait; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class NotReplayable(Exception):
    """The run is unknown, still open, or has nothing that could be sent."""


class NoSuchRun(Exception):
    """No run, or more than one, has this key or run id."""
