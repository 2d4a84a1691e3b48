"""Each cause is reported once, and once when it ends, whichever reconciler looks."""

import pytest

from ledger import alerts
from ledger.alerts import AlertStore

CAUSE = {"id": "NO_WORKER", "sentence": "no worker answers", "next": []}
HOLDS = {"NO_WORKER": CAUSE}


@pytest.fixture
def store(ledger):
    return AlertStore(ledger, "reconciler-1")


@pytest.fixture
def later(client):
    """Let time pass: what the ledger noted was noted so many ms earlier."""

    def pass_by(ms):
        for name, value in client.hgetall("tw:alerts").items():
            if name.startswith((b"new:", b"seen:", b"lease_until")):
                client.hset("tw:alerts", name, int(value) - ms)

    return pass_by


def _events(store):
    return [(event.kind, event.cause["id"]) for event in store.waiting(100)]


def _raise(store, later):
    store.note(HOLDS)
    later(alerts.CONFIRM_MS)
    store.note(HOLDS)


def test_a_cause_is_reported_when_it_holds_in_two_looks(store, later):
    store.note(HOLDS)
    assert _events(store) == []
    later(alerts.CONFIRM_MS)
    store.note(HOLDS)
    assert _events(store) == [("raised", "NO_WORKER")]


def test_a_lease_between_two_looks_forgets_no_cause(store, later):
    store.note(HOLDS)
    later(alerts.CONFIRM_MS)
    assert store.lease() is True
    store.note(HOLDS)
    assert _events(store) == [("raised", "NO_WORKER")]


def test_a_cause_that_holds_for_a_moment_is_not_reported(store, later):
    for _ in range(5):
        store.note(HOLDS)
        later(alerts.CONFIRM_MS)
        store.note({})
    assert _events(store) == []


def test_a_cause_that_holds_for_ten_minutes_is_reported_once(store, later):
    _raise(store, later)
    for _ in range(120):
        later(5_000)
        store.note(HOLDS)
    assert _events(store) == [("raised", "NO_WORKER")]


def test_a_cause_that_comes_and_goes_is_one(store, later):
    _raise(store, later)
    for _ in range(60):
        later(5_000)
        store.note({})
        later(5_000)
        store.note(HOLDS)
    assert _events(store) == [("raised", "NO_WORKER")]


def test_a_cause_that_is_gone_ends_once_and_can_be_raised_again(store, later):
    _raise(store, later)
    store.note({})
    later(alerts.QUIET_MS)
    store.note({})
    store.note({})
    assert _events(store) == [("raised", "NO_WORKER"), ("ended", "NO_WORKER")]
    _raise(store, later)
    assert _events(store)[2:] == [("raised", "NO_WORKER")]


def test_another_reconciler_goes_on_with_what_the_first_reported(ledger, store, later):
    _raise(store, later)
    other = AlertStore(ledger, "reconciler-2")
    assert other.lease() is False
    assert other.note(HOLDS) is False
    later(alerts.LEASE_MS)
    assert other.note(HOLDS) is True
    assert store.lease() is False
    assert _events(other) == [("raised", "NO_WORKER")]


def test_an_event_waits_until_it_was_sent(store, later):
    _raise(store, later)
    (event,) = store.waiting(100)
    assert store.waiting(100) == [event]
    store.sent(event)
    store.sent(event)
    assert store.waiting(100) == []


def test_an_event_has_its_time_and_its_cause(store, clock):
    store.note(HOLDS)
    clock.ms += 4_000
    store.note(HOLDS)
    (event,) = store.waiting(100)
    assert (event.kind, event.at_ms, event.cause) == ("raised", 1_700_000_004_000, CAUSE)


def test_no_more_events_are_read_than_requested_and_the_oldest_first(store, later):
    causes = {name: {"id": name} for name in ("A", "B", "C")}
    store.note(causes)
    later(alerts.CONFIRM_MS)
    store.note(causes)
    assert [event.cause["id"] for event in store.waiting(1)] == ["A"]
    assert [event.cause["id"] for event in store.waiting(2)] == ["A", "B"]
    assert [event.cause["id"] for event in store.waiting(3)] == ["A", "B", "C"]


def test_a_receiver_that_is_down_for_good_does_not_fill_the_ledger(store, later, client):
    _raise(store, later)
    for number in range(alerts.MOST_EVENTS):
        client.rpush("tw:alerts:outbox", f"raised {number} {{}}")
    store.note({})
    later(alerts.QUIET_MS)
    store.note({})
    assert client.llen("tw:alerts:outbox") == alerts.MOST_EVENTS
    assert store.waiting(2_000)[-1].kind == "ended"


def test_a_clock_that_was_an_hour_ahead_holds_up_no_reconciler_and_no_cause(store, ledger, later):
    store.note(HOLDS)
    later(-3_600_000)
    other = AlertStore(ledger, "reconciler-2")
    assert other.note(HOLDS) is True
    assert _events(other) == [("raised", "NO_WORKER")]
    later(-3_600_000)
    other.note({})
    assert _events(other)[1:] == [("ended", "NO_WORKER")]
