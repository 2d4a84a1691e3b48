"""
What can go wrong with the ledger; the class says what to do.

    LedgerUnavailable    Redis did not answer: try again, nothing was changed for certain
    Conflict             the same run asks with other calls: refuse
    Busy                 too many runs wait to begin: refuse for a while
    NoSuchRun            nothing, or more than one run, goes by that name: tell the operator
    NotReplayable        the run is not one that can be replayed or dropped: tell the operator
"""


class LedgerUnavailable(Exception):
    """The ledger could not be reached in time; a repeat of the same step is safe."""


class Conflict(Exception):
    """A run with the same key but other tool names or arguments was accepted before."""


class Busy(Exception):
    """
    No further run is taken for now; those that were accepted go on.

    Args:
        retry_after_s: When it is worth asking again, in whole seconds, at least 1.
    """

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"too many runs wait; ask again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class NotReplayable(Exception):
    """The run is unknown, still open, or has nothing that could be sent."""


class NoSuchRun(Exception):
    """No run, or more than one, has this key or run id."""
