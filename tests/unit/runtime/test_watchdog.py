"""A block that takes too long is acted on; one that ends in time is not."""

import threading

import pytest

from runtime.watchdog import watched


def test_a_block_that_takes_too_long_is_acted_on_while_it_runs():
    acted = threading.Event()
    with watched(0.05, acted.set) as block:
        assert acted.wait(5)
    assert block.is_over


def test_a_block_that_ended_is_not_acted_on():
    acted, other = threading.Event(), threading.Event()
    with watched(0.05, acted.set) as block:
        pass
    with watched(0.1, other.set):
        assert other.wait(5)  # later than the first would have been
    assert not acted.is_set()
    assert not block.is_over


def test_an_action_that_fails_ends_no_other_blocks_watch():
    def fail():
        raise RuntimeError

    acted = threading.Event()
    with watched(0.01, fail), watched(0.05, acted.set):
        assert acted.wait(5)


@pytest.mark.parametrize("seconds", [0.25, 0.01])
def test_many_blocks_share_one_thread(seconds):
    def count():
        return sum(thread.name == "watchdog" for thread in threading.enumerate())

    with watched(seconds, lambda: None), watched(seconds, lambda: None):
        assert count() == 1
