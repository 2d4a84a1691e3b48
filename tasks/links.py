"""Tasks of a run: how they retry, and how the links of a chain run where the one before ended."""

import json
import time
from collections.abc import Sequence
from typing import Any

from celery import Task

from tasks.errors import LedgerUnavailable


class RunTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """
    Tries again while the ledger is away, and else ends with a value.

    That value is what ran in place behind it, for Flower (`tasks/events.py`). The message is
    acknowledged after all of it, so a process that dies in between loses nothing.
    """

    # 4 further tries after 1, 2, 4, 8 s: the waits of one restart. Then the reconciler's turn.
    # `max_retries` also bounds how often Celery runs a task again whose process died.
    max_retries = 4
    default_retry_delay = 0
    resultrepr_maxsize = 20_000  # characters; a link takes 60
    Request = "tasks.events:RunRequest"

    # of the message that this process works on: it takes one at a time
    _began = 0.0
    _in_place: Sequence[tuple[str, int | None, float, float]] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        self._began, self._in_place = time.monotonic(), ()
        try:
            self.run(*args, **kwargs)
        except LedgerUnavailable as exc:
            raise self.retry(exc=exc, countdown=2 ** min(self.request.retries, 3)) from exc
        return json.dumps(self._in_place)

    @property
    def is_again(self) -> bool:
        """
        Whether this message comes again from a process that is known to have ended with it.

        Celery counts that in `retries`: a child that died, or a step that the ledger did not hear.
        "redelivered" alone says no such thing. kombu puts every message back at once when its
        connection is lost, and whoever works on it lives on: to take over then would ask the
        same question again with each blip, and take the third for the mark of a killer. If the
        holder is gone after all, as with its host, the reconciler sees to the call when the
        holder's time is over.
        """
        delivery = self.request.delivery_info or {}
        return bool(self.request.retries) and not delivery.get("redelivered")

    def left_s(self) -> float:
        """Of this message's soft time limit."""
        return (self.soft_time_limit or 0) - (time.monotonic() - self._began)

    def run_in_place(
        self,
        links: Sequence[Task],  # type: ignore[type-arg]
        value: Any,
        index: int | None,
        **ids: Any,
    ) -> Any:
        """Run links of a chain one after another, each with the value of the one before."""
        for link in links:
            began_at, began = round(time.time(), 3), time.monotonic()
            value = link.run(value, **ids)
            took_s = round(time.monotonic() - began, 4)
            self._in_place = (*self._in_place, (link.name, index, began_at, took_s))
        return value
