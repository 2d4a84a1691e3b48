"""A dependency that is down costs one caller a wait, not all of them."""

import threading

import pytest

from webhook.outage import KNOWN_S, Outage


class Down(Exception):
    pass


class Clock:
    """Seconds that pass when a test lets them."""

    def __init__(self):
        self.s = 1_000.0

    def __call__(self):
        return self.s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outage(clock):
    return Outage(Down, now=clock)


def _fail(outage):
    with outage.guard():
        raise Down("found out")


def _find_down(outage):
    with pytest.raises(Down, match="found out"):
        _fail(outage)


def test_while_the_dependency_is_up_all_callers_call_at_once(outage):
    with outage.guard(), outage.guard():
        pass


def test_while_it_is_down_one_caller_probes_and_the_others_fail_at_once(outage):
    _find_down(outage)
    is_asking, may_end = threading.Event(), threading.Event()

    def probe():
        with outage.guard():
            is_asking.set()
            may_end.wait(5)

    prober = threading.Thread(target=probe)
    prober.start()
    is_asking.wait(5)
    with pytest.raises(Down, match="known"):
        _fail(outage)
    may_end.set()
    prober.join()
    with outage.guard(), outage.guard():
        pass  # the probe succeeded, so all callers may try again


def test_after_a_failed_probe_the_next_caller_probes(outage):
    for _ in range(3):
        _find_down(outage)


def test_an_outage_that_ended_unseen_refuses_none_of_those_that_come_at_once_later(outage, clock):
    _find_down(outage)
    clock.s += KNOWN_S
    with outage.guard(), outage.guard():
        pass


def test_while_a_probe_lasts_the_others_fail_at_once_however_long_it_takes(outage, clock):
    _find_down(outage)
    with outage.guard():
        clock.s += 60
        with pytest.raises(Down, match="known"), outage.guard():
            pass


class Refused(Exception):
    """An answer, such as that too many wait."""


def test_a_reply_that_is_an_error_shows_that_the_dependency_is_up(outage):
    _find_down(outage)
    with pytest.raises(Refused), outage.guard():
        raise Refused
    with outage.guard(), outage.guard():
        pass
