"""Base class of the tasks: retries, and whether a chain's next link runs in place or is sent."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from celery import Task
from celery.app.trace import trace_task
from kombu.exceptions import OperationalError

from ledger.errors import LedgerUnavailable
from runtime import logs
from tasks.app import app
from tasks.events import FlushEvents, LinkEvents

_log = logs.get("tasks")
_events = LinkEvents(app)
app.steps["consumer"].add(FlushEvents)


class Message(NamedTuple):
    """The message that this process works on; all links that run in place share it."""

    task_id: str
    deadline: float
    """Monotonic time of its soft time limit."""
    owner_died: bool
    """Celery runs it again, because the process that had it died."""


@dataclass
class Work:
    """In-memory state of a task while it runs."""

    message: Message
    handed_over: Any = None
    """Value that the link before left for this one, or this one leaves for the next."""
    began: float = field(default_factory=time.monotonic)
    links: list[Callable[[], None]] = field(default_factory=list)
    """Links to run in place after this task."""


class RunTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """
    A task that retries while the ledger is unavailable, and else ends with a value.

    A signature with the option `here=True` runs in place behind the task that applies it: in the
    same process, by Celery's own tracer, once that task's messages are on the broker. So signals,
    hooks and tracers see every link, although only the first was a message. That message is
    acknowledged after all its links, so a process that dies in between loses nothing.
    """

    abstract = True
    autoretry_for = (LedgerUnavailable, OperationalError)
    # 4 retries after 1, 2, 4, 8 s: the waits of one restart. Then the reconciler takes over.
    # `max_retries` also bounds how often Celery runs a task again whose process died.
    max_retries = 4
    retry_backoff = True
    retry_backoff_max = 8
    # As many retry at once as there are slots, a step of a millisecond each. Celery's jitter takes
    # 0 to the whole of a wait: all four could be over before a restart is.
    retry_jitter = False
    default_retry_delay = 0  # s; of a message whose process died

    needs_s = 0.0
    """Seconds of the message's soft time limit that a run in place needs; with less, it is sent."""

    def apply_async(
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        *positional: Any,
        here: bool = False,
        **options: Any,
    ) -> Any:
        current = self.app.current_worker_task
        if not (here and task_id and isinstance(current, RunTask)):
            # ids alone travel, so plain reprs do, and a Redis queue needs no declaring; by default
            # Celery spends a sixth of a message on both
            options = {"argsrepr": repr(args or ()), "kwargsrepr": repr(kwargs or {}), **options}
            options.setdefault("declare", [])
            return super().apply_async(args, kwargs, task_id, *positional, **options)
        call = (task_id, tuple(args or ()), dict(kwargs or {}), options)
        current.work.links.append(partial(self._run_behind, current, *call))
        return self.AsyncResult(task_id)

    @property
    def work(self) -> Work:
        """In-memory state of the running task; it never leaves this process."""
        return self.request.get("work")  # type: ignore[no-any-return]

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        # so that log lines of packages without runs, such as db, have these ids, too
        logs.begin(**{name: kwargs[name] for name in ("run_id", "key") if name in kwargs})
        request, front = self.request, self._front
        if front is None:
            self.request.update(work=Work(self._received()))
            return
        self.request.update(work=Work(front.message, front.handed_over))
        family = {"root_id": request.root_id, "parent_id": request.parent_id}
        texts = {"name": self.name, "args": repr(args), "kwargs": repr(kwargs)}
        self._send_event("task-received", retries=0, **texts, **family)
        self._send_event("task-started")

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Run this task's links in place, if it succeeded."""
        if status == "SUCCESS":
            for run_link in self.work.links:
                run_link()
        if self._front is None:
            logs.begin()

    # Celery's main process sends the events of messages, and does not know of links behind them.

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        runtime_s = time.monotonic() - self.work.began
        self._send_event("task-succeeded", result=repr(retval), runtime=runtime_s)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._send_event("task-failed", exception=type(exc).__name__, traceback="")

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._send_event("task-retried", exception=type(exc).__name__, traceback="")

    @property
    def _front(self) -> Work | None:
        """The work of the link before this one; None for a task that came as a message."""
        return self.request.get("front")  # type: ignore[no-any-return]

    def _received(self) -> Message:
        request = self.request
        soft_limit_s = (request.timelimit or (None, None))[1] or self.soft_time_limit or 0
        # "redelivered" proves nothing: kombu puts every message back when its connection is lost,
        # and the worker lives on. Celery counts in `retries` that a process died.
        is_redelivered = (request.delivery_info or {}).get("redelivered")
        owner_died = bool(request.retries) and not is_redelivered
        return Message(str(request.id), time.monotonic() + soft_limit_s, owner_died)

    def _run_behind(
        self, current: "RunTask", task_id: str, args: Any, kwargs: Any, options: dict[str, Any]
    ) -> None:
        """Run in place behind *current*, or publish this task if too little time is left."""
        if current.work.message.deadline - time.monotonic() < self.needs_s:
            try:
                self.apply_async(args, kwargs, task_id, **options)
            except OperationalError as error:  # the reconciler goes on
                _log.warning("task.unpublished", task=self.name, reason=type(error).__name__)
            return
        request = current.request
        headers: dict[str, Any] = {
            "id": task_id,
            "task": self.name,
            "root_id": options.get("root_id") or request.root_id,
            "parent_id": options.get("parent_id") or request.id,
            "group": options.get("group_id"),
            "group_index": options.get("group_index"),
            "chord": options.get("chord"),
            "chain": options.get("chain"),
            "hostname": request.hostname,
            "delivery_info": {},  # a retry goes where the task's messages go
            "ignore_result": True,
            # the message's, in which trackers hand on their context; without it Celery makes a
            # retry's headers of all keys that it does not know, and `front` is no JSON
            "headers": dict(request.headers or {}),
            "front": current.work,
        }
        trace_task(self, task_id, args, kwargs, headers, app=self.app)

    def _send_event(self, kind: str, **fields: Any) -> None:
        request = self.request  # Celery looks for it each time
        if request.get("front") is not None:
            _events.send(kind, request.hostname, uuid=request.id, **fields)
