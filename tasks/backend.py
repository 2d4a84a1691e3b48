"""Celery's Redis result backend, less what loses chords and leaks subscriptions."""

from typing import Any

from celery.backends.redis import RedisBackend
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError  # noqa: A004
from redis.retry import Retry


class RunBackend(RedisBackend):
    """
    Counts chord parts and nothing else: results live in the ledger.

    Celery 5.7.0 sends the script that counts a chord part without a retry, so a Redis that
    restarts at that moment fails the chord for ever; and it subscribes to each header task's
    result, though nobody waits for one.
    """

    def _create_client(self, **params: Any) -> Any:
        # 12 tries, at most 2 s apart: about 20 s, longer than a restart, shorter than answer-by.
        retry = Retry(ExponentialBackoff(cap=2, base=0.1), 12)
        errors = [ConnectionError, TimeoutError, BusyLoadingError]
        return super()._create_client(  # type: ignore[misc]  # the stubs leave it out
            **{**params, "retry": retry, "retry_on_error": errors}
        )

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing."""

    def add_pending_result(
        self, result: Any, weak: bool = False, start_drainer: bool = True
    ) -> Any:
        """Wait for nothing."""
        return result

    def add_pending_results(self, results: Any, weak: bool = False) -> None:
        """Wait for nothing."""
