"""While a dependency is down, let one caller probe it and fail the others fast."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Outage:
    """
    State of one dependency in this process; any thread may use it.

    Without it, while a dependency hangs, every thread of the receiver waits for it in turn, and
    the sixtieth sender waits as long as all before it together.

    Args:
        error: Raised by a call while the dependency is down, and by `guard` for all but one.
    """

    def __init__(self, error: type[Exception]) -> None:
        self._error = error
        self._is_down = False
        self._probing = threading.Lock()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """
        Call the dependency inside this block; how it ends shows whether it is up.

        Any other error is a reply of the dependency, which is then up.

        Raises:
            *error*: It is down, and another thread is probing it.
        """
        is_probe = self._is_down
        if is_probe and not self._probing.acquire(blocking=False):
            raise self._error("it is known to be down")
        is_down = False
        try:
            yield
        except self._error:
            is_down = True
            raise
        finally:
            self._is_down = is_down
            if is_probe:
                self._probing.release()
