"""Celery's Redis result backend, less what loses chords and leaks subscriptions."""

from typing import Any

from celery.backends.redis import RedisBackend
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.retry import Retry

from runtime import logs

_log = logs.get("chord")


class RunBackend(RedisBackend):
    """
    Counts chord parts and nothing else: results live in the ledger.

    Celery 5.7.0 sends the script that counts a chord part without a retry, so a Redis that
    restarts at that moment fails the chord for ever; and it subscribes to each header task's
    result, though nobody waits for one.

    A part that cannot be counted at all is let go: the reconciler submits such a run. Raised in a
    worker's main process, as for a lost child, the error would leave the message unacknowledged
    and its slot taken, until all slots are.
    """

    def _create_client(self, **params: Any) -> Any:
        # 12 tries, at most 2 s apart: about 20 s, longer than a restart, shorter than answer-by.
        retry = Retry(ExponentialBackoff(cap=2, base=0.1), 12)
        errors = [ConnectionError, TimeoutError, BusyLoadingError]
        return super()._create_client(  # type: ignore[misc]  # the stubs leave it out
            **{**params, "retry": retry, "retry_on_error": errors}
        )

    def on_chord_part_return(
        self, request: Any, state: str, result: Any, propagate: bool | None = None, **options: Any
    ) -> None:
        """Count a part of a chord, if Redis can."""
        try:
            super().on_chord_part_return(request, state, result, propagate, **options)
        except RedisError as exc:
            _log.warning("chord.part_not_counted", task=request.id, reason=type(exc).__name__)

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing."""

    def add_pending_result(
        self, result: Any, weak: bool = False, start_drainer: bool = True
    ) -> Any:
        """Wait for nothing."""
        return result

    def add_pending_results(self, results: Any, weak: bool = False) -> None:
        """Wait for nothing."""
