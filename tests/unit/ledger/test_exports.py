"""The export queue gives out every ended run until its trace was sent, and then no more."""

import pytest

from ledger.admin import RunStore
from ledger.due import DueRuns
from ledger.exports import EndedRun, EndedRuns

CALL = {"id": "a", "type": "function", "function": {"name": "t", "arguments": '{"secret": 1}'}}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exports(ledger):
    """Switched on before the runs of a test end."""
    runs = EndedRuns(ledger, "exporter-1")
    assert runs.take(10) == []
    return runs


def _end(ledger, run_id, *, is_dead=False):
    key = ledger.accept(run_id, [CALL], traceparent="").key
    ledger.record(key, 0, 0, '{"row": 1}', owner="o", code="ok", query_ms=7)
    claim = ledger.claim(key, 0, b"body", seen=1, owner="h")
    if is_dead:
        outcome = {"status": 422, "error": "no", "took_ms": 3}
        assert ledger.bury(key, 0, "rejected", claim=claim, outcome=outcome)
    else:
        ledger.finish(key, 0, {"status": 200, "took_ms": 3})
    return key


def test_ended_runs_and_dead_letters_are_given_out_until_they_are_done(ledger, exports):
    keys = {_end(ledger, "r-1"), _end(ledger, "r-2", is_dead=True)}
    taken = exports.take(10)
    assert {run.key for run in taken} == keys
    assert exports.take(10) == taken
    exports.done(taken)
    assert exports.take(10) == []


def test_no_more_are_given_out_than_requested_and_none_twice(ledger, exports):
    keys = {_end(ledger, f"r-{n}") for n in range(7)}
    found = []
    while taken := exports.take(3):
        assert len(taken) <= 3
        found += [run.key for run in taken]
        exports.done(taken)
    assert sorted(found) == sorted(keys)


def test_one_exporter_at_a_time_and_another_after_its_lease(ledger, exports, client):
    _end(ledger, "r-1")
    other = EndedRuns(ledger, "exporter-2")
    assert other.take(10) is None
    client.hset("tw:exports", "lease_until", 1)
    taken = other.take(10)
    assert len(taken) == 1
    exports.done(taken)  # it lost the lease
    assert other.take(10) == taken


def test_runs_that_ended_a_little_before_the_cursor_are_found(ledger, exports, client):
    exports.done(exports.take(10))
    first = _end(ledger, "r-1")
    exports.done(exports.take(10))
    second = _end(ledger, "r-2")
    client.zadd("tw:ended", {second: client.zscore("tw:ended", first) - 20_000})
    assert [run.key for run in exports.take(10)] == [second]


def test_what_ended_before_traces_were_switched_on_is_left_alone(ledger, client):
    key = _end(ledger, "r-1")
    client.zadd("tw:ended", {key: client.zscore("tw:ended", key) - 40_000})
    assert EndedRuns(ledger, "exporter-1").take(10) == []


def test_what_was_exported_is_remembered_for_half_a_minute_only(ledger, exports, client):
    _end(ledger, "r-1")
    exports.done(exports.take(10))
    assert client.zcard("tw:exported:ended") == 1
    for name in ("tw:ended", "tw:exported:ended"):
        (member,) = client.zrange(name, 0, -1)
        client.zincrby(name, -31_000, member)
    _end(ledger, "r-2")
    exports.done(exports.take(10))
    assert client.zcard("tw:exported:ended") == 1


def test_an_entry_has_the_timeline_and_no_arguments_outputs_or_body(ledger, exports):
    _end(ledger, "r-1", is_dead=True)
    (entry,) = exports.entries(exports.take(10))
    assert entry["reason"] == "rejected"
    assert entry["took_ms:0"] == "7"
    assert entry["attempt_status:1"] == "422"
    text = str(entry)
    assert not any(word in text for word in ("secret", "row", "body", "no'"))


def test_an_entry_has_each_time_of_a_run_that_was_replayed_and_tried_again(
    ledger, client, clock, exports
):
    key = ledger.accept("r-1", [CALL, {**CALL, "id": "b"}], traceparent=TRACEPARENT).key
    clock.ms += 1
    for index in (0, 1):
        ledger.record(key, 0, index, "{}", owner="o", code="ok")
    claim = ledger.claim(key, 0, b"body", seen=2, owner="h")
    ledger.bury(key, 0, "rejected", claim=claim, outcome={"status": 422})
    clock.ms += 1_000
    RunStore(ledger).replay(key, "full")
    ledger.begin(key, 1)
    for _ in range(3):
        clock.ms += 10
        call = ledger.start(key, 1, 0, message="m", may_take_over=True)
    for index, owner in ((0, call.owner), (1, "o")):
        ledger.record(key, 1, index, "{}", owner=owner, code="ok", validate_ms=2, query_ms=7)
    for _ in range(2):
        clock.ms += 10_000
        assert [run.step for run in DueRuns(ledger).take(senders=1)] == ["submit"]
    claim = ledger.claim(key, 1, b"other", seen=2, owner="h")
    clock.ms += 100
    ledger.renew(key, 1, claim, {"status": 503, "took_ms": 99}, attempt=1, is_unknown=False)
    clock.ms += 100
    ledger.finish(key, 1, {"status": 200, "took_ms": 98})
    (entry,) = exports.entries([EndedRun("ended", key, "1700000021231")])
    assert entry == {
        "run_id": "r-1", "traceparent": TRACEPARENT, "state": "submitted",
        "generation": "1", "replays": "1", "replayed_at:0": "1700000001001",
        "accepted_at": "1700000000000", "begun_at": "1700000001001", "ended_at": "1700000021231",
        "calls": "2",
        "id:0": "a", "name:0": "t", "started_at:0": "1700000001011",
        "try_at:0:2": "1700000001021", "try_at:0:3": "1700000001031",
        "ended_at:0": "1700000001031", "validate_ms:0": "2", "took_ms:0": "7", "code:0": "ok",
        "tries:0": "3", "bytes:0": "2",
        "id:1": "b", "name:1": "t", "ended_at:1": "1700000001031", "validate_ms:1": "2",
        "took_ms:1": "7", "code:1": "ok", "bytes:1": "2",
        "steps": "2", "step:1": "submit", "step_at:1": "1700000011031",
        "step:2": "submit", "step_at:2": "1700000021031",
        "attempts": "2",
        "attempt_at:1": "1700000021031", "attempt_status:1": "503", "attempt_took_ms:1": "99",
        "attempt_at:2": "1700000021131", "attempt_status:2": "200", "attempt_took_ms:2": "98",
    }  # fmt: skip


def test_an_entry_has_the_time_of_each_replay(ledger, clock, exports):
    key = _end(ledger, "r-1", is_dead=True)
    clock.ms += 1_000
    RunStore(ledger).replay(key, "full")
    ledger.record(key, 1, 0, "{}", owner="o", code="ok")
    claim = ledger.claim(key, 1, b"other", seen=1, owner="h")
    ledger.bury(key, 1, "rejected", claim=claim)
    clock.ms += 1_000
    RunStore(ledger).replay(key, "submission")
    ledger.claim(key, 1, b"other", seen=1, owner="h")
    ledger.finish(key, 1, {"status": 200})
    (entry,) = exports.entries([EndedRun("ended", key, "1700000002000")])
    assert {name: at for name, at in entry.items() if name.startswith("replayed_at")} == {
        "replayed_at:0": "1700000001000",
        "replayed_at:1": "1700000002000",
    }


def test_an_entry_has_the_further_tries_of_each_call(ledger, clock, exports):
    calls = [{**CALL, "id": name} for name in "abcde"]
    key = ledger.accept("r-1", calls, traceparent="").key
    for index in (3, 4):
        ledger.start(key, 0, index, message="m")
        clock.ms += 1
        ledger.start(key, 0, index, message="m", may_take_over=True)
    clock.ms += 600_000
    assert ledger.bury(key, 0, "expired") == "expired"
    (entry,) = exports.entries([EndedRun("dead", key, "1700000600002")])
    assert {name: at for name, at in entry.items() if name.startswith("try_at")} == {
        "try_at:3:2": "1700000000001",
        "try_at:4:2": "1700000000002",
    }


def test_a_run_that_is_gone_has_no_entry(exports):
    assert exports.entries([EndedRun("ended", "gone", "1")]) == [{}]


def test_a_dead_letter_that_was_opened_again_has_no_entry(ledger, exports):
    key = _end(ledger, "r-1", is_dead=True)
    taken = exports.take(10)
    RunStore(ledger).replay(key, "submission")
    assert exports.entries(taken) == [{}]


def test_a_replayed_run_is_given_out_once_more(ledger, exports):
    key = _end(ledger, "r-1", is_dead=True)
    exports.done(exports.take(10))
    RunStore(ledger).replay(key, "submission")
    ledger.claim(key, 0, b"body", seen=1, owner="h2")
    ledger.finish(key, 0, {"status": 200, "took_ms": 3})
    (taken,) = exports.take(10)
    (entry,) = exports.entries([taken])
    assert (taken.kind, entry["replays"], entry["state"]) == ("ended", "1", "submitted")


def test_after_a_clock_that_was_an_hour_ahead_no_trace_is_lost(ledger, exports, client):
    ahead = _end(ledger, "r-ahead")
    later = int(client.zscore("tw:ended", ahead)) + 3_600_000
    client.zadd("tw:ended", {ahead: later})
    client.hset(f"tw:run:{ahead}", "ended_at", later)
    client.hset("tw:exports", mapping={"ended": later, "dead": later})
    exports.done(exports.take(10))
    key = _end(ledger, "r-now")
    assert [run.key for run in exports.take(10)] == [key]
    exports.done(exports.take(10))
    assert exports.take(10) == []


def test_a_lease_of_a_clock_that_was_ahead_does_not_hold_up_others(ledger, exports, client):
    lease_until = int(client.hget("tw:exports", "lease_until"))
    client.hset("tw:exports", "lease_until", lease_until + 3_600_000)
    assert EndedRuns(ledger, "exporter-2").take(10) == []


def test_done_renews_the_lease_of_its_owner_alone(ledger, exports, client):
    client.hset("tw:exports", "lease_until", 1)
    assert exports.done([]) is True
    assert int(client.hget("tw:exports", "lease_until")) > 1
    assert EndedRuns(ledger, "exporter-2").done([]) is False


def test_more_runs_of_one_millisecond_than_a_batch_are_all_given_out_once(ledger, exports, client):
    keys = [_end(ledger, f"r-{number}") for number in range(250)]
    at = int(client.zscore("tw:ended", keys[0]))
    client.zadd("tw:ended", dict.fromkeys(keys, at))
    found = []
    while taken := exports.take(7):
        found += [run.key for run in taken]
        exports.done(taken)
    assert sorted(found) == sorted(keys)
