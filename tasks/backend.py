"""Celery's result backend: the ledger keeps the outputs and counts the parts of the chord."""

from typing import Any

from celery import Celery, states
from celery.backends.base import BaseBackend
from celery.canvas import maybe_signature


class LedgerBackend(BaseBackend):
    """
    Stores nothing and does no I/O; applies the chord's body after the last part.

    The value of a part is the number of outputs that are still missing, as the ledger counted it
    when the part recorded its own. A part that recorded nothing has the value None.
    """

    app: Celery
    supports_autoexpire = True

    def apply_chord(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to prepare: `accept` has stored in the ledger how many calls there are."""

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Apply the body if *result* is 0: no output is missing."""
        # also called for a part that failed, or whose process died, with the exception
        if state == states.SUCCESS and result == 0:
            body: Any = maybe_signature(request.chord, app=self.app)
            body.apply_async()

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        return result

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        """Always PENDING: no result is stored here."""
        return {"task_id": task_id, "status": states.PENDING, "result": None}
