"""Task events: of links that run behind another task, and when Celery sends those of messages."""

import sys
import threading
import time
from typing import Any

from celery import Celery
from celery.bootsteps import StartStopStep
from celery.signals import worker_process_shutdown

from runtime import logs

FLUSH_EVERY_S = 0.5
"""From an event to the message that carries it and those that follow: so much later a dashboard
shows a link at most. A message for each link took a fifth of a worker's CPU."""

_log = logs.get("tasks")


class LinkEvents:
    """
    The events of one worker process, sent by a thread of its own.

    No task waits for the broker, and nothing is raised: without a broker, events are lost.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._dispatcher: Any = (
            None  # an EventDispatcher: one thread may send while another flushes
        )
        self._thread: threading.Thread | None = None
        self._has_some = threading.Event()

    def send(self, kind: str, hostname: str | None, **fields: Any) -> None:
        """Keep an event for the next message."""
        if not self._app.conf.worker_send_task_events:
            return
        if self._thread is None:  # on first use, so after the fork
            self._thread = threading.Thread(target=self._flush_again_and_again, daemon=True)
            self._thread.start()
            worker_process_shutdown.connect(self.flush)
        if self._dispatcher is None:
            # the receiver's limits, half a second; and a dispatcher that raises: by default it
            # keeps what it could not send, and tries each event again, one limit after another
            limits = self._app.conf["RECEIVER"]["broker_transport_options"]
            self._dispatcher = self._app.events.Dispatcher(
                self._app.connection_for_write(transport_options=limits),
                hostname=hostname,
                buffer_while_offline=False,
                buffer_group=frozenset({"task"}),
                buffer_limit=sys.maxsize,  # beyond it `send` would send by itself
            )
        self._dispatcher.send(kind, **fields)
        self._has_some.set()

    def flush(self, **_: Any) -> None:
        """Send what was kept since the last time, in one message."""
        dispatcher = self._dispatcher
        if dispatcher is None:
            return
        try:
            dispatcher.flush()
        except Exception as error:  # noqa: BLE001  the outermost loop of a thread: log it, go on
            _log.warning("events.lost", reason=type(error).__name__)
            self._dispatcher = None
            dispatcher.connection.release()

    def _flush_again_and_again(self) -> None:
        while self._has_some.wait():
            time.sleep(FLUSH_EVERY_S)
            self._has_some.clear()
            self.flush()


class FlushEvents(StartStopStep):
    """
    Sends what a worker's main process has to report in one message each half second, too.

    By default Celery sends it at each turn of its loop: two fifths of that process' CPU.
    """

    requires = ("celery.worker.consumer.events:Events",)
    _entry: Any = None

    def start(self, parent: Any) -> None:
        parent.event_dispatcher.on_send_buffered = None
        self._entry = parent.timer.call_repeatedly(FLUSH_EVERY_S, parent.event_dispatcher.flush)

    def stop(self, parent: Any) -> None:
        """Leave nothing behind, also where the connection is lost: it goes to the next one."""
        if self._entry:
            self._entry.cancel()
            self._entry = None
            parent.event_dispatcher.flush()
