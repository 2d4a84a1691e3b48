"""Circuit breaker of the receiver: while a dependency is down one caller probes it, others fail."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

KNOWN_S = 0.5
"""For this long after a failure the dependency is known to be down. Deliveries that come less often
find out for themselves: an outage that ended long before refuses none of them."""


class Outage:
    """
    State of one dependency in this process; any thread may use it.

    Without it, while a dependency hangs, every thread of the receiver waits for it in turn, and
    the sixtieth sender waits as long as all before it together.

    Args:
        error: Raised by a call while the dependency is down, and by `guard` for all but one.

        now: A monotonic clock, in seconds.
    """

    def __init__(self, error: type[Exception], now: Callable[[], float] = time.monotonic) -> None:
        self._error = error
        self._now = now
        self._known_until = float("-inf")
        self._probing = threading.Lock()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """
        Call the dependency inside this block; how it ends shows whether it is up.

        Any other error is a reply of the dependency, which is then up.

        Raises:
            *error*: It is down, and another thread is probing it.
        """
        # a probe may take longer than its cause is known
        is_probe = self._now() < self._known_until or self._probing.locked()
        if is_probe and not self._probing.acquire(blocking=False):
            raise self._error("it is known to be down")
        known_until = float("-inf")
        try:
            yield
        except self._error:
            known_until = self._now() + KNOWN_S
            raise
        finally:
            self._known_until = known_until
            if is_probe:
                self._probing.release()
