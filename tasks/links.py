"""Tasks of a run: how they retry, and how one link of a chain runs where the previous one ended."""

from typing import Any

from celery import Task

from tasks.errors import LedgerUnavailable


class RunTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """
    Tries again while the ledger is away, and else ends with a value.

    A header task that failed would fail its chord, and a body that is never called answers nobody.
    """

    # 4 further tries after 1, 2, 4, 8 s: the waits of one restart. Then the reconciler's turn.
    # `max_retries` also bounds how often Celery runs a task again whose process died.
    max_retries = 4
    default_retry_delay = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.perform(*args, **kwargs)
        except LedgerUnavailable as exc:
            raise self.retry(exc=exc, countdown=2 ** min(self.request.retries, 3)) from exc

    def perform(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task's own function."""
        return self.run(*args, **kwargs)


class Link(RunTask):
    """
    A link of a chain that runs the links behind it in place, without a message between.

    The message is acknowledged after the last link, and a retry or a redelivery begins at the
    first again, so a process that dies in between loses nothing.
    """

    def perform(self, *args: Any, **kwargs: Any) -> Any:
        """Run this link and those behind it, then count as the last of them in the chord."""
        value = self.run(*args, **kwargs)
        links: list[dict[str, Any]] = list(self.request.chain or [])  # type: ignore[arg-type]
        for link in reversed(links):  # Celery keeps a chain's rest in reverse
            value = self.app.tasks[link["task"]].run(**link["kwargs"])
        if links:
            last = links[0]["options"]
            self.request.chord = links[0].get("chord") or last.get("chord")
            self.request.group = last.get("group_id")
            self.request.group_index = last.get("group_index")
            self.request.chain = None
        return value
