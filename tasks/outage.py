"""A neighbour that is away is asked by one caller at a time; the others need not wait for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Outage:
    """
    What this process knows of one neighbour; use it from any thread.

    Without it, while a neighbour hangs, every thread of the receiver waits for it in turn, and the
    sixtieth sender waits as long as all before it together.

    Args:
        refuse: Makes the error for a caller who need not ask.

        errors: What asking raises when the neighbour is away.
    """

    def __init__(self, refuse: Callable[[], Exception], *errors: type[Exception]) -> None:
        self._refuse = refuse
        self._errors = errors
        self._is_away = False
        self._asking = threading.Lock()

    @contextmanager
    def ask(self) -> Iterator[None]:
        """
        Ask inside this block; how it ends says whether the neighbour is there.

        Any error but those of *errors* is an answer of its own: it is there.

        Raises:
            What *refuse* makes: it is away, and another thread is finding out for how long.
        """
        is_probe = self._is_away
        if is_probe and not self._asking.acquire(blocking=False):
            raise self._refuse()
        is_away = False
        try:
            yield
        except self._errors:
            is_away = True
            raise
        finally:
            self._is_away = is_away
            if is_probe:
                self._asking.release()
