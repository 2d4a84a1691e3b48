"""Watchdog timers: call a function when a block takes too long; one thread for all."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

TICK_S = 0.2
"""Between two checks of the one thread; a block is found overdue at most this late."""


class Overdue:
    """A block and its deadline; `is_over` from the moment that its action is called."""

    def __init__(self, due: float, act: Callable[[], None]) -> None:
        self.due = due
        self.act = act
        self.is_over = False


class _Watchdog:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks: set[Overdue] = set()
        self.is_running = False

    def watch(self) -> None:
        while True:
            now = time.monotonic()
            with self.lock:
                for block in [block for block in self.blocks if block.due <= now]:
                    self.blocks.remove(block)
                    block.is_over = True
                    with suppress(Exception):  # this thread watches the other blocks, too
                        block.act()
                wait_s = min((block.due - now for block in self.blocks), default=TICK_S)
            time.sleep(min(wait_s, TICK_S))


_watchdog = _Watchdog()


def _begin_anew() -> None:
    """After a fork: the thread and the blocks that it watched are the parent's."""
    global _watchdog
    _watchdog = _Watchdog()


os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def watched(seconds: float, act: Callable[[], None]) -> Iterator[Overdue]:
    """
    Call *act*, in another thread, if this block takes longer than *seconds*; at most 0.2 s late.

    Args:
        act: Must not wait nor raise. It is not called once the block has ended.
    """
    block = Overdue(time.monotonic() + seconds, act)
    watchdog = _watchdog
    with watchdog.lock:
        if not watchdog.is_running:
            threading.Thread(target=watchdog.watch, name="watchdog", daemon=True).start()
            watchdog.is_running = True
        watchdog.blocks.add(block)
    try:
        yield block
    finally:
        with watchdog.lock:
            watchdog.blocks.discard(block)
