"""What the steps of a run return, measure and pass on, written out."""

import pytest

from ledger import Ledger
from ledger.admin import RunStore
from ledger.due import DueRuns
from ledger.errors import Busy
from ledger.owners import new_owner_id
from ledger.values import Begun, Claim, Outputs
from runtime.trace_context import run_trace

OK = {"status": 200, "correlation_id": "c", "took_ms": 3}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def measured(monkeypatch):
    """Counters with their labels, and timings with their seconds, in order."""
    found = []
    monkeypatch.setattr(
        "runtime.metrics.count", lambda name, **labels: found.append((name, labels))
    )
    monkeypatch.setattr("runtime.metrics.observe", lambda name, value: found.append((name, value)))
    return found


def _accept(ledger, run_id="r", *, calls=1, accepted_ms_ago=0, traceparent=TRACEPARENT):
    listed = [
        {"id": f"c{n}", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
        for n in range(calls)
    ]
    key = ledger.accept(run_id, listed, traceparent=traceparent).key
    ledger.client.hincrby(f"tw:run:{key}", "accepted_at", -accepted_ms_ago)
    return key


def _record(ledger, key, index=0):
    return ledger.record(key, 0, index, '{"n": 1}', owner="o", code="ok")


def _claim(ledger, key, owner="h"):
    return ledger.claim(key, 0, b"body", seen=1, owner=owner)


def _until_due_ms(ledger, key):
    seconds, micros = ledger.client.time()
    return ledger.client.zscore("tw:due", key) - seconds * 1000 - micros / 1000


def test_a_run_that_was_accepted_is_looked_at_within_three_seconds(ledger):
    assert 0 < _until_due_ms(ledger, _accept(ledger)) <= 3_000


def test_a_run_without_context_is_started_with_none(ledger, client):
    key = _accept(ledger)
    assert ledger.start(key, 0, 0, message="m").context == {}
    assert not client.hexists(f"tw:run:{key}", "bound")


def test_a_run_that_is_not_accepted_is_given_the_seconds_to_come_back_after(client):
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    ledger = Ledger(client, **times, dead_letter_retention_s=600, max_waiting=1)
    _accept(ledger, "first")
    with pytest.raises(Busy) as refused:
        _accept(ledger, "second")
    assert refused.value.retry_after_s == 30


def test_the_wait_for_a_worker_is_measured_in_seconds_at_the_first_begin(ledger, measured):
    key = _accept(ledger, accepted_ms_ago=7_000)
    for _ in range(2):
        ledger.begin(key, 0)
    ((name, waited_s),) = measured
    assert name == "queue_wait_seconds"
    assert 7 <= waited_s < 60


def test_a_run_that_waited_for_no_time_is_measured_too(ledger, client, measured, monkeypatch):
    monkeypatch.setattr(ledger, "step", lambda *_: [b"begun", 1, 2, 2, 0])
    assert ledger.begin("k", 0) == Begun(1, (), is_complete=True)
    assert measured == [("queue_wait_seconds", 0)]


def test_rounds_of_a_fan_out_are_counted(ledger, monkeypatch):
    monkeypatch.setattr("ledger.bounds.REPUBLISH_MS", (0, 0))
    key = _accept(ledger, calls=2)
    rounds = [ledger.begin(key, 0) for _ in range(2)]
    assert rounds == [Begun(n, (0, 1), is_complete=False) for n in (1, 2)]


def test_a_run_that_ended_well_is_counted_and_measured_from_its_acceptance(ledger, measured):
    key = _accept(ledger, accepted_ms_ago=7_000)
    _record(ledger, key)
    _claim(ledger, key)
    for _ in range(2):
        ledger.finish(key, 0, OK)
    counted, (name, took_s) = measured
    assert counted == ("runs", {"state": "submitted"})
    assert name == "run_seconds"
    assert 7 <= took_s < 60


@pytest.mark.parametrize(("ms", "seconds"), [(0, [0]), (2_500, [2.5]), (-1, [])])
def test_the_time_of_a_run_is_measured_in_seconds_and_of_a_replay_none(
    ledger, measured, monkeypatch, ms, seconds
):
    monkeypatch.setattr(ledger, "step", lambda *_: [b"finished", ms])
    ledger.finish("k", 0, OK)
    assert [value for name, value in measured if name == "run_seconds"] == seconds


def test_of_a_replay_that_ended_well_no_time_is_measured(ledger, measured):
    key = _accept(ledger)
    _record(ledger, key)
    assert ledger.bury(key, 0, "rejected", claim=_claim(ledger, key)) == "rejected"
    RunStore(ledger).replay(key, "submission")
    _claim(ledger, key, owner="again")
    ledger.finish(key, 0, OK)
    assert measured == [("runs", {"state": "dead"}), ("runs", {"state": "submitted"})]


def test_a_dead_letter_that_was_not_written_is_not_counted(ledger, measured):
    assert ledger.bury(_accept(ledger), 0, "expired") is None
    assert measured == []


def test_a_claim_has_its_number_its_attempt_and_the_time_to_the_expiry(ledger):
    key = _accept(ledger)
    _record(ledger, key)
    first = _claim(ledger, key)
    assert 590_000 < first.expires_in_ms <= 600_000
    assert first == Claim(1, 1, first.expires_in_ms, is_repeat=False)
    assert ledger.renew(key, 0, first, {"status": 503}, attempt=1, is_unknown=True)
    ledger.postpone(key, 0, first, {"status": 503}, delay_ms=0, is_unknown=False)
    third = _claim(ledger, key, owner="another")
    assert third == Claim(2, 3, third.expires_in_ms, is_repeat=True)


def test_the_outcome_of_an_attempt_is_kept_without_what_is_not_known(ledger, client):
    key = _accept(ledger)
    _record(ledger, key)
    outcome = {"status": None, "code": None, "error": "no answer", "took_ms": 9}
    ledger.postpone(key, 0, _claim(ledger, key), outcome, delay_ms=0, is_unknown=True)
    names = client.hkeys(f"tw:run:{key}")
    assert {name for name in names if name.startswith(b"attempt_") and b"_at" not in name} == {
        b"attempt_error:1", b"attempt_took_ms:1",
    }  # fmt: skip


def test_outputs_are_in_call_order_with_none_for_a_missing_one(ledger):
    key = _accept(ledger, calls=2)
    ledger.start(key, 0, 1, message="m")
    _record(ledger, key, 1)
    trace = run_trace(key, TRACEPARENT)
    found = ledger.outputs(key, 0)
    assert found == Outputs("r", ("c0", "c1"), (None, '{"n": 1}'), None, frozenset({0}), trace)
    assert found.count == 1


def test_frozen_outputs_are_the_bytes_alone(ledger):
    key = _accept(ledger)
    _record(ledger, key)
    _claim(ledger, key)
    assert ledger.outputs(key, 0) == Outputs(
        "r", (), (), b"body", trace=run_trace(key, TRACEPARENT)
    )


def test_the_senders_trace_reaches_each_step_and_a_replay_has_spans_of_its_own(ledger):
    key = _accept(ledger)
    assert ledger.start(key, 0, 0, message="m").trace == run_trace(key, TRACEPARENT)
    _record(ledger, key)
    ledger.bury(key, 0, "rejected", claim=_claim(ledger, key))
    RunStore(ledger).replay(key, "submission")
    ledger.client.zadd("tw:due", {key: 0})
    (run,) = DueRuns(ledger).take(senders=1)
    assert (run.run_id, run.step, run.trace) == ("r", "submit", run_trace(key, TRACEPARENT, 1))
    assert ledger.outputs(key, 0).trace == run_trace(key, TRACEPARENT, 1)


def test_a_due_run_without_a_senders_trace_has_the_trace_of_its_key(ledger, client):
    key = _accept(ledger, traceparent="")
    client.zadd("tw:due", {key: 0})
    (run,) = DueRuns(ledger).take(senders=1)
    assert (run.key, run.trace) == (key, run_trace(key))


def test_one_look_goes_through_so_many_runs(ledger, client, monkeypatch):
    monkeypatch.setattr("ledger.bounds.DUE_AT_ONCE", 2)
    client.zadd("tw:due", {_accept(ledger, run_id): 0 for run_id in ("r-1", "r-2", "r-3")})
    assert [len(DueRuns(ledger).take(senders=0)) for _ in range(3)] == [2, 1, 0]


def test_a_submission_needs_a_sender_and_leave_to_go(ledger, client):
    keys = [_accept(ledger, f"r-{n}") for n in range(4)]
    for key in keys:
        _record(ledger, key)
    client.zadd("tw:due", dict.fromkeys(keys, 0))
    assert DueRuns(ledger).take(senders=4, may_go=0) == []
    assert len(DueRuns(ledger).take(senders=4, may_go=1)) == 1
    assert len(DueRuns(ledger).take(senders=2)) == 2
    assert len(DueRuns(ledger).take(senders=0)) == 0
    (last,) = DueRuns(ledger).take(senders=1)
    assert 0 < _until_due_ms(ledger, last.key) <= 5_000


def test_a_call_is_given_back_while_there_is_time_for_another_try(ledger, client):
    key = _accept(ledger)
    call = ledger.start(key, 0, 0, message="m")
    assert ledger.release(key, 0, call) is True
    assert 0 < _until_due_ms(ledger, key) <= 2_000
    again = ledger.start(key, 0, 0, message="m")
    seconds, _ = client.time()
    client.hset(f"tw:run:{key}", "answer_by", (seconds + 3) * 1000)
    assert ledger.release(key, 0, again) is False
    assert ledger.release(key, 1, again) is True  # another generation's: there is nothing to give


def test_a_lease_lasts_what_its_tool_may_take_and_a_margin(ledger, client, clock):
    calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in ("slow", "quick", "other")
    ]
    ledger.use_timeouts({"slow": 20_000, "quick": 5_000})
    key = ledger.accept("r", calls).key
    for index in range(3):
        ledger.start(key, 0, index, message="m")
    leased_until = client.hmget(f"tw:run:{key}", [f"busy_until:{index}" for index in range(3)])
    assert [int(at) - clock.ms for at in leased_until] == [22_000, 7_000, 7_000]


def test_owners_are_not_alike_in_a_process_and_in_its_fork(monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)
    first, second = new_owner_id(), new_owner_id()
    monkeypatch.setattr("os.getpid", lambda: 2)
    of_the_fork = new_owner_id()
    processes = [owner.rpartition("-")[0] for owner in (first, second, of_the_fork)]
    assert processes[0] == processes[1] != processes[2]
    assert first != second


def test_the_health_check_has_the_keys_of_an_acceptance_and_changes_none(
    ledger, client, monkeypatch
):
    ledger.ping()
    assert client.keys() == []
    steps = []
    monkeypatch.setattr(ledger, "step", lambda name, keys, words: steps.append((name, keys, words)))
    ledger.ping()
    others = ["tw:due", "tw:waiting", "tw:begun", "tw:unpublished", "tw:reconcilers"]
    assert steps == [("ping", ["tw:run:ping", *others], [])]
