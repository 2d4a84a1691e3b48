"""The context of a run: compared between two deliveries, and deleted when the run ends."""

import pytest

from ledger.admin import RunStore
from ledger.errors import Conflict

CALLS = [{"id": "a", "type": "function", "function": {"name": "my_orders", "arguments": "{}"}}]
ADA, BEN = {"/context/id": 7}, {"/context/id": 8}


def _submit(ledger, key):
    ledger.begin(key, 0)
    started = ledger.start(key, 0, 0, message="m")
    ledger.record(key, 0, 0, "{}", owner=started.owner, code="ok")
    ledger.claim(key, 0, b"body", seen=1, owner="o")
    ledger.finish(key, 0, {"status": 200})


def test_a_call_is_started_with_the_context_of_its_delivery(ledger):
    key = ledger.accept("r", CALLS, {**ADA, "/tenant": None}).key
    assert ledger.start(key, 0, 0, message="m").context == {"/context/id": 7, "/tenant": None}


def test_a_context_is_never_printed(ledger):
    key = ledger.accept("r", CALLS, {"/context/id": "secret-customer"}).key
    assert "secret-customer" not in repr(ledger.start(key, 0, 0, message="m"))


def test_two_deliveries_that_differ_in_the_context_alone_are_a_conflict(ledger):
    ledger.accept("r", CALLS, ADA)
    assert ledger.accept("r", CALLS, ADA).is_duplicate
    for other in (BEN, {"/context/id": None}, {"/context/id": "7"}, {"/context/id": True}):
        with pytest.raises(Conflict):
            ledger.accept("r", CALLS, other)


def test_an_entry_without_a_stored_context_equals_any(ledger):
    ledger.accept("r", CALLS)
    assert ledger.accept("r", CALLS, ADA).is_duplicate
    assert ledger.accept("r", CALLS, BEN).is_duplicate


def test_a_source_that_one_of_two_receivers_does_not_know_yet_is_not_compared(ledger):
    ledger.accept("r", CALLS, {**ADA, "/tenant": "t"})
    assert ledger.accept("r", CALLS, ADA).is_duplicate
    assert ledger.accept("r", CALLS, {}).is_duplicate
    assert ledger.accept("r", CALLS, {"/tenant": "t", "/new": 1}).is_duplicate
    with pytest.raises(Conflict):
        ledger.accept("r", CALLS, {"/tenant": "u", "/new": 1})


def test_a_run_that_ended_well_keeps_no_value_and_still_distinguishes_two_contexts(ledger, client):
    key = ledger.accept("r", CALLS, {"/context/id": "secret-customer"}).key
    _submit(ledger, key)
    assert b"secret-customer" not in b"".join(client.hgetall(f"tw:run:{key}").values())
    assert ledger.accept("r", CALLS, {"/context/id": "secret-customer"}).is_duplicate
    with pytest.raises(Conflict):
        ledger.accept("r", CALLS, {"/context/id": "another"})


def test_a_replay_takes_the_context_from_the_ledger(ledger):
    key = ledger.accept("r", CALLS, ADA).key
    ledger.begin(key, 0)
    started = ledger.start(key, 0, 0, message="m")
    ledger.record(key, 0, 0, "{}", owner=started.owner, code="timeout")
    claim = ledger.claim(key, 0, b"body", seen=1, owner="o")
    ledger.bury(key, 0, "rejected", claim=claim)
    assert RunStore(ledger).replay(key, "full") == 1
    assert ledger.start(key, 1, 0, message="m").context == ADA
