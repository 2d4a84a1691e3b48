"""While a dependency is down, let one caller probe it and fail the others fast."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Outage:
    """
    What this process knows of one dependency; use it from any thread.

    Without it, while a dependency hangs, every thread of the receiver waits for it in turn, and
    the sixtieth sender waits as long as all before it together.

    Args:
        refuse: Makes the error for a caller that need not try.

        errors: What a call raises when the dependency is down.
    """

    def __init__(self, refuse: Callable[[], Exception], *errors: type[Exception]) -> None:
        self._refuse = refuse
        self._errors = errors
        self._is_down = False
        self._probing = threading.Lock()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """
        Call the dependency inside this block; how it ends shows whether it is up.

        Any error but those of *errors* is a reply of its own: it is up.

        Raises:
            What *refuse* makes: it is down, and another thread is probing it.
        """
        is_probe = self._is_down
        if is_probe and not self._probing.acquire(blocking=False):
            raise self._refuse()
        is_down = False
        try:
            yield
        except self._errors:
            is_down = True
            raise
        finally:
            self._is_down = is_down
            if is_probe:
                self._probing.release()
