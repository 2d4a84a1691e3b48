"""Task events of links that run behind another task; Celery itself sends those of messages."""

import time
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

_MUTE_S = 5.0
"""After events that the broker did not take, none is sent for so long: calls come first."""


class LinkEvents:
    """
    The events of one worker process, in as few messages as Flower needs to show what runs now.

    Nothing is raised: without a broker, events are lost, and no call waits for them.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._dispatcher: Any = None  # an EventDispatcher
        self._muted_until = 0.0

    def send(self, kind: str, hostname: str | None, **fields: Any) -> None:
        """Keep an event until the next `flush`."""
        if self._app.conf.worker_send_task_events and time.monotonic() >= self._muted_until:
            if self._dispatcher is None:
                # the receiver's limits, half a second; and a dispatcher that raises: by default it
                # keeps what it could not send, and tries each event again, one limit after another
                limits = self._app.conf["RECEIVER"]["broker_transport_options"]
                self._dispatcher = self._app.events.Dispatcher(
                    self._app.connection_for_write(transport_options=limits),
                    hostname=hostname,
                    buffer_while_offline=False,
                    buffer_group=frozenset({"task"}),
                    buffer_limit=1_000,  # beyond it `send` would send by itself
                )
            self._dispatcher.send(kind, **fields)

    def flush(self) -> None:
        """Send what was kept since the last time, in one message."""
        if self._dispatcher is None:
            return
        connection = self._dispatcher.connection
        try:
            self._dispatcher.flush()
        except (OperationalError, *connection.connection_errors, *connection.channel_errors):
            self._dispatcher = None
            self._muted_until = time.monotonic() + _MUTE_S
            connection.release()
