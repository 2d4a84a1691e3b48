"""Tell Flower of the links that ran in place, as if each had been a message."""

import ast
import json
from collections.abc import Callable
from typing import Any

from celery.worker.request import Request


class RunRequest(Request):
    """A message of a run in the worker's main process, which alone knows whether events are on."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  (Celery's name)
        """Send an event of this message, and with the last those of what ran in place behind it."""
        eventer = self._eventer  # type: ignore[attr-defined]  # the stubs leave it out
        if not (eventer and eventer.enabled and "task" in (eventer.groups or ["task"])):
            return
        if type != "task-succeeded":
            super().send_event(type, **fields)
            return
        # a JSON text that Celery has put in quotes: names and times, never a row
        in_place = json.loads(fields["result"][1:-1])
        super().send_event(type, **{**fields, "result": None})
        for link in in_place:
            self._send_link(eventer.send, *link)

    def _send_link(
        self,
        send: Callable[..., None],
        name: str,
        index: int | None,
        began_at: float,
        took_s: float,
    ) -> None:
        ids = ast.literal_eval(self.kwargsrepr)
        uuid = f"{ids['key']}:{ids['generation']}:{name}"
        if index is not None:
            ids = {**ids, "index": index}
            uuid += f":{index}"
        told = {"name": name, "args": "()", "kwargs": repr(ids), "root_id": self.root_id}
        send("task-received", uuid=uuid, timestamp=began_at, parent_id=self.id, retries=0, **told)
        send("task-started", uuid=uuid, timestamp=began_at)
        ended_at = began_at + took_s
        send("task-succeeded", uuid=uuid, timestamp=ended_at, result=None, runtime=took_s)
