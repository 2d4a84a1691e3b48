"""Cached value that a background thread refreshes for as long as an operator views it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from runtime import logs

IDLE_S = 30.0
"""Looks stop when nothing was viewed for this long; open pages renew every few seconds."""
T = TypeVar("T")
_log = logs.get("dashboard")


@dataclass(frozen=True)
class Seen(Generic[T]):
    """A value and how old it is, in seconds."""

    value: T
    age_s: float


class Watch(Generic[T]):
    """
    Calls *look* in a thread of its own; use one from any thread.

    Args:
        look: Returns the value; what it raises is logged, and `latest` raises it.

        every_s: From the begin of a look to that of the next, in seconds.

        rest: A look is followed by a rest of at least so many times what it took, which bounds
            what it costs.
    """

    def __init__(self, name: str, look: Callable[[], T], *, every_s: float, rest: int = 1) -> None:
        self._name, self._look, self._every_s, self._rest = name, look, every_s, rest
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wanted_at = 0.0
        self._value: T | None = None
        self._error: Exception | None = None
        self._began_at = 0.0
        self._is_closed = False

    def latest(self, *, wait_s: float) -> Seen[T] | None:
        """
        The newest value, waited for while it is older than *every_s*; None before the first.

        Args:
            wait_s: At most; then an older value is returned.
        """
        with self._changed:
            self._wanted_at = time.monotonic()
            if self._thread is None:  # not before the fork
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(self._is_fresh, timeout=wait_s)
            if self._error is not None:
                raise self._error
            if self._value is None:
                return None
            return Seen(self._value, time.monotonic() - self._began_at)

    def forget(self) -> None:
        """Look again at once, after something was changed."""
        with self._changed:
            self._began_at = 0.0
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread, after a look that is under way."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._began_at < self._every_s

    def _run(self) -> None:
        next_s = 0.0
        while True:
            with self._changed:
                while not self._is_due(next_s) and not self._is_closed:
                    self._changed.wait(self._every_s)
                if self._is_closed:
                    return
            began = time.monotonic()
            value, error = None, None
            try:
                value = self._look()
            except Exception as exc:  # noqa: BLE001  (raised by `latest`)
                if type(exc) is not type(self._error):  # once an outage
                    why = type(exc).__name__
                    _log.warning("dashboard.look_failed", what=self._name, reason=why)
                error = exc
            with self._changed:
                self._value = self._value if value is None else value
                self._error, self._began_at = error, began
                took_s = time.monotonic() - began
                next_s = max(self._every_s, (1 + self._rest) * took_s)
                self._changed.notify_all()

    def _is_due(self, next_s: float) -> bool:
        now = time.monotonic()
        return now - self._wanted_at < IDLE_S and now - self._began_at >= next_s
