"""Task events for Flower: those of links run in place, and a worker's own in batches of 0.5 s."""

import contextlib
import sys
import threading
import time
from typing import Any

from celery import Celery
from celery.bootsteps import StartStopStep
from celery.signals import worker_process_shutdown

from runtime import logs

FLUSH_EVERY_S = 0.5
"""Longest delay of an event: all events of this time go in one message. A message for each link
took a fifth of a worker's CPU."""

KEPT_S = 15.0
"""How long a process keeps events that the broker does not take; its restart is shorter."""

_log = logs.get("tasks")


class LinkEvents:
    """
    Task events of one worker process, sent by its own thread.

    No task waits for the broker and nothing is raised; while the broker is down for longer than
    `KEPT_S`, events are lost.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._dispatcher: Any = (
            None  # an EventDispatcher: one thread may send while another flushes
        )
        self._thread: threading.Thread | None = None
        self._has_some = threading.Event()
        self._failing_since: float | None = None

    def send(self, kind: str, hostname: str | None, **fields: Any) -> None:
        """Keep an event for the next message."""
        if not self._app.conf.worker_send_task_events:
            return
        if self._thread is None:  # on first use, so after the fork
            self._thread = threading.Thread(target=self._flush_again_and_again, daemon=True)
            self._thread.start()
            worker_process_shutdown.connect(self.flush)
        dispatcher = self._dispatcher  # read once: the thread may drop it meanwhile
        if dispatcher is None:
            # the receiver's limits, half a second; and a dispatcher that raises: by default it
            # tries each event that it could not send by itself again, one limit after another
            limits = self._app.conf["RECEIVER"]["broker_transport_options"]
            dispatcher = self._dispatcher = self._app.events.Dispatcher(
                self._app.connection_for_write(transport_options=limits),
                hostname=hostname,
                buffer_while_offline=False,
                buffer_group=frozenset({"task"}),
                buffer_limit=sys.maxsize,  # beyond it `send` would send by itself
            )
        dispatcher.send(kind, **fields)
        self._has_some.set()

    def flush(self, **_: Any) -> None:
        """Send the kept events in one message. Nothing is raised."""
        dispatcher = self._dispatcher
        if dispatcher is None:
            return
        try:
            dispatcher.flush()
            self._failing_since = None
        except Exception as error:  # noqa: BLE001  the outermost loop of a thread: log it, go on
            self._connect_again(dispatcher, type(error).__name__)

    def _connect_again(self, dispatcher: Any, reason: str) -> None:
        """Connect anew for the next flush; drop the unsent events once this lasts `KEPT_S`."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > KEPT_S:
            _log.warning("events.lost", reason=reason)
            self._dispatcher = self._failing_since = None
        dispatcher.close()  # it keeps the events; `enable` makes the producer anew
        with contextlib.suppress(Exception):  # of a connection that is broken anyway
            dispatcher.connection.release()
        dispatcher.enable()
        self._has_some.set()

    def _flush_again_and_again(self) -> None:
        while self._has_some.wait():
            time.sleep(FLUSH_EVERY_S)
            self._has_some.clear()
            self.flush()


class FlushEvents(StartStopStep):
    """Worker step that sends the events of the main process in one message each half second."""

    requires = ("celery.worker.consumer.events:Events",)
    _entry: Any = None

    def start(self, parent: Any) -> None:
        if parent.event_dispatcher:  # None where a worker sends no events at all
            flush = parent.event_dispatcher.flush
            self._entry = parent.timer.call_repeatedly(FLUSH_EVERY_S, flush)

    def stop(self, parent: Any) -> None:
        """Send what is left; with a lost connection, over the next one."""
        if self._entry:
            self._entry.cancel()
            self._entry = None
            parent.event_dispatcher.flush()

    def shutdown(self, parent: Any) -> None:
        """Send the events since `stop`: a worker that stops waits for its tasks to end."""
        if parent.event_dispatcher:
            parent.event_dispatcher.flush()
