"""The steps of a run: each is atomic, may be repeated, and leaves no run behind."""

import importlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger import Ledger, connect, key_of, owners
from ledger.admin import RunStore
from ledger.due import DueRuns
from ledger.errors import Conflict, LedgerUnavailable
from ledger.owners import new_owner_id
from ledger.values import Claim, Started

OK = {"status": 200, "correlation_id": "c", "took_ms": 3}


@pytest.fixture
def make_ledger(client):
    def make(**changes):
        times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
        return Ledger(client, **{**times, "dead_letter_retention_s": 600, **changes})

    return make


@pytest.fixture
def ledger(make_ledger):
    return make_ledger()


def _calls(*ids, arguments="{}"):
    return [
        {"id": i, "type": "function", "function": {"name": "get_order", "arguments": arguments}}
        for i in ids
    ]


def _record(ledger, key, index, output='{"n": 1}'):
    return ledger.record(key, 0, index, output, owner=f"o{index}", code="ok", query_ms=1)


def _claim(ledger, key, body=b"body", seen=1, owner="h"):
    return ledger.claim(key, 0, body, seen=seen, owner=owner)


def test_the_key_is_the_first_32_digits_of_the_hash_of_run_and_call_ids():
    # printf '["r-1","c-1","c-2"]' | sha256sum
    assert key_of("r-1", ["c-1", "c-2"]) == "25f3ab6b9d2d8ba00152bdd10482d5d7"


def test_fifty_equal_deliveries_at_once_make_one_run(ledger, client):
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: ledger.accept("r-1", _calls("a", "b")), range(50)))
    assert len({answer.key for answer in answers}) == 1
    assert sum(not answer.is_duplicate for answer in answers) == 1
    assert client.zcard("tw:due") == 1


def test_the_same_calls_with_other_arguments_are_a_conflict(ledger):
    ledger.accept("r-1", _calls("a"))
    with pytest.raises(Conflict):
        ledger.accept("r-1", _calls("a", arguments='{"n": 2}'))


def test_a_run_may_call_tools_more_than_once(ledger):
    first, second = ledger.accept("r-1", _calls("a")), ledger.accept("r-1", _calls("b"))
    assert first.key != second.key
    assert not second.is_duplicate


def _start(ledger, key, index, message="m", **changes):
    return ledger.start(key, 0, index, message=message, **changes)


def _begin(ledger, key, **changes):
    return ledger.begin(key, 0, message="fan_out", **changes)


def test_the_second_fan_out_gets_nothing_that_is_queued_or_leased(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    assert ledger.begin(key, 0).missing == (0, 1)
    _start(ledger, key, 0)
    assert ledger.begin(key, 0).missing == ()


def test_a_call_that_no_worker_started_is_fanned_out_again(ledger, monkeypatch):
    monkeypatch.setattr("ledger.bounds.REPUBLISH_MS", (0, 5_000))
    key = ledger.accept("r-1", _calls("a", "b", "c")).key
    assert _begin(ledger, key).missing == (0, 1, 2)
    _start(ledger, key, 1)
    assert _begin(ledger, key).missing == (0, 2)


def test_a_fan_out_from_a_dead_process_gets_all_that_it_had_but_what_others_lease(ledger):
    key = ledger.accept("r-1", _calls("a", "b", "c")).key
    _begin(ledger, key)
    _start(ledger, key, 0, message="fan_out")  # behind the fan-out
    _start(ledger, key, 2, message="another")
    again = _begin(ledger, key, may_take_over=True)
    assert again.missing == (0, 1)
    assert _start(ledger, key, 0, message="fan_out").attempt == 2


def test_a_message_from_a_dead_process_takes_over_its_call_and_no_other(ledger):
    key = ledger.accept("r-1", _calls("a")).key
    assert _start(ledger, key, 0, message="m").attempt == 1
    assert _start(ledger, key, 0, message="other", may_take_over=True) is None
    assert _start(ledger, key, 0, message="m") is None
    assert _start(ledger, key, 0, message="m", may_take_over=True).attempt == 2


def test_a_message_whose_process_died_after_the_record_learns_what_is_left(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    _record(ledger, key, 0)
    assert _start(ledger, key, 0, may_take_over=True) == 1
    assert _start(ledger, key, 0) is None


def test_a_fan_out_whose_reply_was_lost_is_given_the_same_again(ledger, monkeypatch):
    key = ledger.accept("r-1", _calls(*map(str, range(20)))).key
    monkeypatch.setattr("ledger.ledger.new_owner_id", lambda: "same")
    assert _begin(ledger, key).missing == _begin(ledger, key).missing == tuple(range(20))


def test_an_accept_whose_reply_was_lost_is_no_duplicate(ledger, monkeypatch):
    monkeypatch.setattr("ledger.ledger.new_owner_id", lambda: "same")
    answers = [ledger.accept("r-1", _calls("a")).is_duplicate for _ in range(2)]
    assert answers == [False, False]


def test_a_start_whose_reply_was_lost_is_the_same_start(ledger, monkeypatch):
    key = ledger.accept("r-1", _calls("a")).key
    monkeypatch.setattr("ledger.ledger.new_owner_id", lambda: "same")
    assert [_start(ledger, key, 0).attempt for _ in range(2)] == [1, 1]


def test_a_poison_call_whose_reply_was_lost_is_poison_again(ledger, monkeypatch):
    key = ledger.accept("r-1", _calls("a")).key
    for _ in range(3):
        _start(ledger, key, 0, may_take_over=True)
    monkeypatch.setattr("ledger.ledger.new_owner_id", lambda: "same")
    answers = [_start(ledger, key, 0, may_take_over=True).is_poison for _ in range(2)]
    assert answers == [True, True]


def test_a_record_whose_reply_was_lost_counts_once_and_reports_the_same(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    assert [_record(ledger, key, 0) for _ in range(2)] == [1, 1]
    assert [_record(ledger, key, 1) for _ in range(2)] == [0, 0]


def test_a_record_keeps_how_long_validate_and_query_took(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    ledger.record(key, 0, 0, "{}", owner="o", code="ok", validate_ms=2, query_ms=30)
    assert client.hmget(f"tw:run:{key}", "validate_ms:0", "took_ms:0") == [b"2", b"30"]


def test_a_sender_that_read_before_the_body_was_frozen_sends_no_other_bytes(make_ledger):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a", "b")).key
    _record(ledger, key, 0)
    claim = _claim(ledger, key, b"both", seen=1, owner="first")
    ledger.postpone(key, 0, claim, {}, delay_ms=0, is_unknown=False)
    assert _claim(ledger, key, b"one", seen=1, owner="second") == "changed"
    assert isinstance(_claim(ledger, key, b"both", seen=0, owner="second"), Claim)


def test_a_released_call_is_free_for_any_worker_and_counts_no_try(ledger, monkeypatch):
    monkeypatch.setattr("ledger.bounds.RELEASE_MS", 0)
    key = ledger.accept("r-1", _calls("a", "b")).key
    assert ledger.release(key, 0, _start(ledger, key, 0))
    assert _start(ledger, key, 0, message="other").attempt == 1


def test_a_run_without_calls_is_complete_at_once(ledger):
    begun = ledger.begin(ledger.accept("r-1", []).key, 0)
    assert (begun.missing, begun.is_complete) == ((), True)


def test_a_call_has_one_owner_at_a_time(ledger):
    key = ledger.accept("r-1", _calls("a", arguments='{"number": 7}')).key
    call = _start(ledger, key, 0)
    assert isinstance(call, Started)
    assert (call.name, call.arguments, call.attempt) == ("get_order", '{"number": 7}', 1)
    assert 27_000 < call.left_ms <= 28_000
    assert _start(ledger, key, 0) is None


def test_a_call_that_killed_its_worker_three_times_is_poison(ledger):
    key = ledger.accept("r-1", _calls("a")).key
    tries = [_start(ledger, key, 0, may_take_over=True) for _ in range(4)]
    assert [call.attempt for call in tries] == [1, 2, 3, 3]
    assert [call.is_poison for call in tries] == [False, False, False, True]


def test_arguments_survive_as_sent_lone_surrogates_included(ledger):
    key = ledger.accept("r-1", _calls("a", arguments='{"q": "\ud800\x00é"}')).key
    assert _start(ledger, key, 0).arguments == '{"q": "\ud800\x00é"}'


def test_no_call_is_started_in_the_last_two_seconds(make_ledger):
    ledger = make_ledger(answer_by_s=2)
    key = ledger.accept("r-1", _calls("a")).key
    assert _start(ledger, key, 0) is None


def test_the_first_output_wins(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    assert _record(ledger, key, 0, '"first"') == 1
    assert ledger.record(key, 0, 0, '"second"', owner="another", code="ok") is None
    assert ledger.outputs(key, 0).outputs == ('"first"', None)


def test_the_body_is_frozen_by_the_first_claim_and_late_outputs_are_dropped(make_ledger, client):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a", "b")).key
    _record(ledger, key, 0)
    assert isinstance(_claim(ledger, key, b"partial", seen=1), Claim)
    assert _record(ledger, key, 1) is None
    assert ledger.outputs(key, 0).body == b"partial"
    assert client.hget(f"tw:run:{key}", "late_outputs") == b"1"


def test_an_incomplete_run_is_not_sent_before_answer_by(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    _record(ledger, key, 0)
    assert _claim(ledger, key, seen=1) == "incomplete"


def test_an_output_that_came_since_they_were_read_is_not_left_out(ledger):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    assert _claim(ledger, key, seen=0) == "changed"


def test_one_of_many_claims_gets_the_right_to_post(ledger):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(lambda n: _claim(ledger, key, owner=f"h{n}"), range(20)))
    assert sum(isinstance(claim, Claim) for claim in claims) == 1
    assert claims.count("held") == 19


def test_a_repeated_claim_of_the_same_owner_is_the_same_claim(ledger):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    first, second = _claim(ledger, key), _claim(ledger, key)
    assert (first.fence, first.attempt) == (second.fence, second.attempt)


def test_a_claim_whose_sender_died_makes_the_next_one_a_repeat(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    assert not _claim(ledger, key, owner="dies").is_repeat
    client.hset(f"tw:run:{key}", "lease_until", 0)
    assert _claim(ledger, key, owner="next").is_repeat


def test_a_postponed_run_waits_and_only_its_owner_may_postpone(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    claim = _claim(ledger, key)
    stale = Claim(claim.fence - 1, 1, 1, is_repeat=False)
    ledger.postpone(key, 0, stale, {"status": 503}, delay_ms=1, is_unknown=False)
    assert _claim(ledger, key, owner="other") == "held"
    ledger.postpone(key, 0, claim, {"status": 503}, delay_ms=60_000, is_unknown=False)
    assert _claim(ledger, key, owner="other") == "waiting"


def test_an_attempt_that_is_reported_twice_to_have_ended_is_counted_once(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    claim = _claim(ledger, key)
    for _ in range(2):  # the reply to the first was lost
        assert ledger.renew(key, 0, claim, {"status": 503}, attempt=1, is_unknown=False)
    entry = client.hgetall(f"tw:run:{key}")
    assert (entry[b"attempts"], entry[b"attempt_status:1"]) == (b"2", b"503")
    assert b"attempt_status:2" not in entry


def test_no_attempt_begins_after_the_expiry(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    claim = _claim(ledger, key)
    client.hset(f"tw:run:{key}", "expires_at", 0)
    assert not ledger.renew(key, 0, claim, {"status": 503}, attempt=1, is_unknown=False)


def test_a_run_that_somebody_sends_across_its_expiry_is_not_ended_by_another(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    _claim(ledger, key, owner="sends")
    client.hset(f"tw:run:{key}", "expires_at", 0)
    assert _claim(ledger, key, owner="other") == "held"
    assert ledger.park(key, 0, "the rate") == "held"
    assert not ledger.bury(key, 0, "expired")
    ledger.finish(key, 0, OK)
    assert client.hget(f"tw:run:{key}", "state") == b"submitted"


@pytest.fixture
def expired_while_posting(ledger, client):
    """A run past its expiry whose sender has claimed, and was never heard of again."""
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    claim = _claim(ledger, key)
    client.hset(f"tw:run:{key}", mapping={"lease_until": 0, "expires_at": 0})
    return key, claim


def test_a_run_that_expires_after_a_post_without_an_outcome_is_unconfirmed(
    ledger, client, expired_while_posting
):
    key, _ = expired_while_posting
    assert ledger.bury(key, 0, "expired") == "unconfirmed"
    assert client.hmget(f"tw:run:{key}", "reason", "is_unknown") == [b"unconfirmed", b"1"]


def test_a_run_that_expires_after_a_time_out_is_unconfirmed(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    ledger.postpone(key, 0, _claim(ledger, key), {}, delay_ms=0, is_unknown=True)
    client.hset(f"tw:run:{key}", "expires_at", 0)
    assert ledger.bury(key, 0, "expired") == "unconfirmed"


def test_a_run_that_expires_after_attempts_that_were_refused_is_expired(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    ledger.postpone(key, 0, _claim(ledger, key), {"status": 503}, delay_ms=0, is_unknown=False)
    client.hset(f"tw:run:{key}", "expires_at", 0)
    assert ledger.bury(key, 0, "expired") == "expired"


def test_a_2xx_that_is_heard_after_the_run_was_ended_makes_it_submitted(
    ledger, client, expired_while_posting
):
    key, _ = expired_while_posting
    ledger.bury(key, 0, "expired")
    ledger.finish(key, 0, OK)
    entry = client.hgetall(f"tw:run:{key}")
    assert (entry[b"state"], entry[b"attempt_status:1"]) == (b"submitted", b"200")
    assert b"reason" not in entry
    assert (client.zcard("tw:dead"), client.zcard("tw:ended")) == (0, 1)
    assert 0 < client.ttl(f"tw:run:{key}") <= 60


def test_a_run_that_ended_well_is_ended_and_counted_once(
    ledger, client, expired_while_posting, monkeypatch
):
    counted = []
    monkeypatch.setattr("runtime.metrics.count", lambda _, **labels: counted.append(labels))
    key, claim = expired_while_posting
    for _ in range(2):
        ledger.finish(key, 0, OK)
    assert ledger.bury(key, 0, "rejected", claim=claim) is None
    assert counted == [{"state": "submitted"}]
    assert client.zcard("tw:dead") == 0


def test_a_bury_that_comes_late_does_not_end_a_run_that_was_given_new_time(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    assert not ledger.bury(key, 0, "expired")
    assert client.hget(f"tw:run:{key}", "state") == b"accepted"


def test_no_owner_id_comes_twice_even_when_a_process_id_does():
    before = {new_owner_id() for _ in range(100)}
    importlib.reload(owners)  # the same host and process id, counting from 0 again
    assert len(before | {owners.new_owner_id() for _ in range(100)}) == 200


def test_a_finished_run_keeps_its_timeline_and_not_its_data(ledger, client):
    key = ledger.accept("r-1", _calls("a", arguments='{"secret": "planted"}')).key
    _start(ledger, key, 0)
    _record(ledger, key, 0, '{"row": "planted"}')
    _claim(ledger, key, b'{"row": "planted"}')
    ledger.finish(key, 0, OK)
    kept = client.hgetall(f"tw:run:{key}")
    assert kept[b"state"] == b"submitted"
    assert not any(b"planted" in value for value in kept.values())
    assert 0 < client.ttl(f"tw:run:{key}") <= 60
    assert client.zcard("tw:due") == 0


def test_every_step_returns_gone_after_the_end_and_makes_no_key(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    _claim(ledger, key)
    ledger.finish(key, 0, OK)
    client.delete(f"tw:run:{key}")
    assert ledger.begin(key, 0) is None
    assert _start(ledger, key, 0) is None
    assert _record(ledger, key, 0) is None
    assert _claim(ledger, key) == "gone"
    assert ledger.outputs(key, 0) is None
    ledger.finish(key, 0, OK)
    ledger.bury(key, 0, "rejected")
    assert client.keys("tw:run:*") == []


def test_an_equal_delivery_after_the_end_is_a_duplicate_and_starts_nothing(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    _claim(ledger, key)
    ledger.finish(key, 0, OK)
    assert ledger.accept("r-1", _calls("a")).is_duplicate
    assert client.zcard("tw:due") == 0


def test_a_ledger_that_is_down_is_an_error_in_time(free_port):
    client = connect(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2, retries=0)
    away = Ledger(
        client, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=600
    )
    with pytest.raises(LedgerUnavailable):
        away.accept("r-1", _calls("a"))


def test_a_run_that_no_worker_began_is_published_again(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    assert DueRuns(ledger).take(senders=1) == []
    client.zadd("tw:due", {key: 0})
    (run,) = DueRuns(ledger).take(senders=1)
    assert (run.key, run.run_id, run.generation, run.step) == (key, "r-1", 0, "publish")
    assert DueRuns(ledger).take(senders=1) == []


def test_a_leased_call_is_left_alone_by_the_reconciler(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    ledger.begin(key, 0)
    _start(ledger, key, 0)
    client.zadd("tw:due", {key: 0})
    assert DueRuns(ledger).take(senders=1) == []
    seconds, micros = client.time()
    in_s = client.zscore("tw:due", key) / 1000 - seconds - micros / 1e6
    assert 6 < in_s <= 7  # the default timeout of 5 s and 2 s


def test_a_complete_run_whose_submission_was_lost_is_due_2_s_after_its_last_output(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _begin(ledger, key)
    _start(ledger, key, 0)
    before = _now_ms(client)
    _record(ledger, key, 0)
    due_at = client.zscore("tw:due", key)
    assert before + 2_000 <= due_at <= _now_ms(client) + 2_000
    client.zadd("tw:due", {key: 0})
    (run,) = DueRuns(ledger).take(senders=1)
    assert (run.key, run.step) == (key, "submit")


def _now_ms(client):
    seconds, micros = client.time()
    return seconds * 1000 + micros // 1000


def test_a_run_past_answer_by_is_submitted_with_what_there_is(make_ledger, client):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a", "b")).key
    client.zadd("tw:due", {key: 0})
    (run,) = DueRuns(ledger).take(senders=1)
    assert run.step == "submit"


def test_what_needs_a_sender_stays_due_while_none_is_free(make_ledger, client):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a")).key
    client.zadd("tw:due", {key: 0})
    assert DueRuns(ledger).take(senders=0) == []
    assert [run.key for run in DueRuns(ledger).take(senders=1)] == [key]


def test_a_run_past_its_expiry_is_not_sent_any_more(make_ledger, client):
    ledger = make_ledger(answer_by_s=0, expires_s=0)
    key = ledger.accept("r-1", _calls("a")).key
    client.zadd("tw:due", {key: 0})
    (run,) = DueRuns(ledger).take(senders=1)
    assert run.step == "expire"
    assert _claim(ledger, key, seen=0) == "expired"
    ledger.bury(key, 0, "expired")
    assert client.hget(f"tw:run:{key}", "reason") == b"expired"
    assert client.zscore("tw:dead", key) is not None


def _queued(runs=0, calls=0, further=0):
    return {"toolworker": runs, "toolworker.calls": calls, "toolworker.further": further}


_FIRST_CALLS = 8


def _steps(ledger, client, *keys, **queued):
    """What a reconciler is given when the runs of *keys* are due."""
    if keys:
        client.zadd("tw:due", dict.fromkeys(keys, 0))
    found = DueRuns(ledger).take(senders=1, queued=_queued(**queued), first_calls=_FIRST_CALLS)
    return {run.key: run.step for run in found}


def _take_from(client, queue, ago_ms=0):
    """Let it be so long since a worker took a message from the queue."""
    now = client.time()[0] * 1000
    client.hset("tw:begun", f"taken:toolworker.{queue}", now - ago_ms)


def test_a_run_whose_message_still_waits_is_not_published_again(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    assert _steps(ledger, client, key, runs=1) == {}
    assert _steps(ledger, client, key) == {key: "publish"}


def test_a_run_is_published_again_when_a_later_one_has_begun(ledger, client):
    lost, later = (ledger.accept(run_id, _calls("a")).key for run_id in ("r-1", "r-2"))
    client.hincrby(f"tw:run:{later}", "accepted_at", 1)
    client.hset("tw:begun", "reached", client.hget(f"tw:run:{lost}", "accepted_at"))
    assert _steps(ledger, client, lost, runs=7) == {}
    _begin(ledger, later)
    assert _steps(ledger, client, lost, runs=7) == {lost: "publish"}


@pytest.mark.parametrize(("queue", "first_calls"), [("calls", 8), ("further", 1)])
def test_calls_whose_messages_still_wait_are_not_fanned_out_again(
    ledger, client, monkeypatch, queue, first_calls
):
    monkeypatch.setattr(f"{__name__}._FIRST_CALLS", first_calls)
    monkeypatch.setattr("ledger.bounds.REPUBLISH_MS", (0, 5_000))
    key = ledger.accept("r-1", _calls("a", "b")).key
    _begin(ledger, key)
    assert _steps(ledger, client, key, **{queue: 1}) == {}
    assert _steps(ledger, client, key, runs=9) == {key: "publish"}
    later = ledger.accept("r-2", _calls("a", "b")).key
    _begin(ledger, later)
    client.zrem("tw:due", later)
    client.hincrby(f"tw:run:{later}", "begun_at", 1)
    _start(ledger, later, 0)  # in place behind its fan-out: no queue is counted
    assert _steps(ledger, client, key, **{queue: 1}) == {}
    _start(ledger, later, 1, queue=f"toolworker.{queue}")
    assert _steps(ledger, client, key, **{queue: 1}) == {key: "publish"}


@pytest.mark.parametrize(("queue", "first_calls"), [("calls", 8), ("further", 1)])
def test_calls_in_a_queue_that_no_worker_reads_are_fanned_out_again(
    ledger, client, monkeypatch, queue, first_calls
):
    """After a rollback: workers of the last release read the first queue alone."""
    monkeypatch.setattr(f"{__name__}._FIRST_CALLS", first_calls)
    monkeypatch.setattr("ledger.bounds.REPUBLISH_MS", (0, 5_000))
    key = ledger.accept("r-1", _calls("a", "b")).key
    _begin(ledger, key)
    _start(ledger, key, 0, queue=f"toolworker.{queue}")
    client.hset(f"tw:run:{key}", "begun_at", 1)
    client.hset("tw:begun", f"reached:toolworker.{queue}", 0)
    assert _steps(ledger, client, key, **{queue: 1}) == {}
    taken_at = client.hget("tw:begun", f"taken:toolworker.{queue}")
    assert client.zscore("tw:due", key) == int(taken_at) + 2_000  # not looked at before
    client.hincrby("tw:begun", f"taken:toolworker.{queue}", -2_001)
    assert _steps(ledger, client, key, **{queue: 1}) == {key: "publish"}
    # one that was begun just now waits, however long nothing was taken
    later = ledger.accept("r-2", _calls("a", "b")).key
    _begin(ledger, later)
    assert _steps(ledger, client, later, **{queue: 1}) == {}


def test_a_message_that_comes_too_late_shows_that_its_queue_is_read(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    ledger.bury(key, 0, "rejected")
    _start(ledger, key, 0, queue="toolworker.calls")
    assert client.hexists("tw:begun", "taken:toolworker.calls")


@pytest.mark.parametrize("queue", ["calls", "further"])
def test_messages_that_no_worker_reads_hold_up_no_replay(ledger, client, queue):
    (key,) = _dead(ledger, client, "r-1")
    _take_from(client, queue)
    assert _steps(ledger, client, **{queue: 200}) == {}
    _take_from(client, queue, ago_ms=3_000)
    assert _steps(ledger, client, **{queue: 200}) == {key: "publish"}


def test_a_lost_call_of_a_small_run_does_not_wait_for_the_queue_of_large_runs(
    ledger, client, monkeypatch
):
    monkeypatch.setattr("ledger.bounds.REPUBLISH_MS", (0, 5_000))
    key = ledger.accept("r-1", _calls(*"abcdefgh")).key
    _begin(ledger, key)
    assert _steps(ledger, client, key, further=92) == {key: "publish"}


def test_a_call_that_a_worker_lost_or_returned_is_published_however_long_the_queue(
    ledger, client, monkeypatch
):
    monkeypatch.setattr("ledger.bounds.RELEASE_MS", 0)
    key = ledger.accept("r-1", _calls("a")).key
    _begin(ledger, key)
    call = _start(ledger, key, 0)
    client.hset(f"tw:run:{key}", mapping={"busy_until:0": 1, "queued_until:0": 1})
    assert _steps(ledger, client, key, calls=9) == {key: "publish"}
    client.hset(f"tw:run:{key}", "busy_until:0", 10**13)
    assert ledger.release(key, 0, call)
    assert _steps(ledger, client, key, calls=9) == {key: "publish"}


def test_the_broker_holds_so_many_runs_and_the_ledger_those_behind_them(
    ledger, client, monkeypatch
):
    monkeypatch.setattr("ledger.bounds.MESSAGES", 2)
    DueRuns(ledger).seen("host:1")
    runs = [ledger.accept(f"r-{number}", _calls("a")) for number in range(4)]
    assert [run.must_publish for run in runs] == [True, True, False, False]
    keys = [run.key for run in runs]
    assert _steps(ledger, client, *keys, runs=2) == {}
    assert _steps(ledger, client, *keys, runs=1) == {keys[2]: "publish"}
    _begin(ledger, keys[0])
    # runs keep their order: one is behind those that wait in the ledger
    assert not ledger.accept("r-4", _calls("a")).must_publish
    _take_from(client, "calls")
    assert _steps(ledger, client, keys[3], runs=0, calls=1) == {keys[3]: "publish"}


def test_without_a_reconciler_at_work_every_run_has_a_message(ledger, client, monkeypatch):
    monkeypatch.setattr("ledger.bounds.MESSAGES", 1)
    ledger.accept("r-1", _calls("a"))
    assert ledger.accept("r-2", _calls("a")).must_publish
    DueRuns(ledger).seen("host:1")
    assert not ledger.accept("r-3", _calls("a")).must_publish
    client.zincrby("tw:reconcilers", -15_001, "host:1")
    assert ledger.accept("r-4", _calls("a")).must_publish


def test_a_run_that_finds_out_whether_workers_are_there_has_a_message(ledger, client, monkeypatch):
    monkeypatch.setattr("ledger.bounds.MESSAGES", 1)
    DueRuns(ledger).seen("host:1")
    ledger.accept("r-1", _calls("a"))
    assert not ledger.accept("r-2", _calls("a")).must_publish
    for waiting in client.zrange("tw:waiting", 0, -1):
        client.zincrby("tw:waiting", -15_001, waiting)
    assert ledger.accept("probe", _calls("a")).must_publish


def test_a_run_that_waited_until_answer_by_leaves_no_message_and_no_place(
    make_ledger, client, monkeypatch
):
    monkeypatch.setattr("ledger.bounds.MESSAGES", 1)
    ledger = make_ledger(answer_by_s=0)
    DueRuns(ledger).seen("host:1")
    keys = [ledger.accept(run_id, _calls("a")).key for run_id in ("r-1", "r-2")]
    assert client.exists("tw:unpublished")
    client.zadd("tw:due", dict.fromkeys(keys, 0))
    found = DueRuns(ledger).take(senders=2, queued=_queued(runs=1))
    assert {run.key: run.step for run in found} == dict.fromkeys(keys, "submit")
    assert client.exists("tw:waiting", "tw:unpublished") == 0
    # the message that was left: its calls could not end in time
    assert _begin(ledger, keys[0]).missing == ()


def _dead(ledger, client, *run_ids):
    """Dead letters, replayed: their keys in that order."""
    keys = [ledger.accept(run_id, _calls("a")).key for run_id in run_ids]
    for at, key in enumerate(keys):
        client.hset(f"tw:run:{key}", "expires_at", 1)
        assert ledger.bury(key, 0, "expired") == "expired"
        RunStore(ledger).replay(key, "full")
        client.zincrby("tw:unpublished", at, key)  # each a millisecond after the one before
    return keys


def test_replays_have_so_many_messages_and_each_once(ledger, client, monkeypatch):
    monkeypatch.setattr("ledger.bounds.MESSAGES", 2)
    keys = _dead(ledger, client, "r-1", "r-2", "r-3")
    assert _steps(ledger, client, *keys) == dict.fromkeys(keys[:2], "publish")
    assert _steps(ledger, client, *keys, runs=2) == {}
    assert _steps(ledger, client, *keys, runs=1) == {keys[2]: "publish"}


def test_replays_hold_up_no_run_whose_caller_waits(ledger, client, monkeypatch):
    monkeypatch.setattr("ledger.bounds.MESSAGES", 2)
    DueRuns(ledger).seen("host:1")
    replays = _dead(ledger, client, "r-1", "r-2", "r-3")
    assert ledger.accept("direct-1", _calls("a")).must_publish
    assert ledger.accept("direct-2", _calls("a")).must_publish
    behind = ledger.accept("behind", _calls("a"))
    assert not behind.must_publish
    assert _steps(ledger, client, runs=1) == {behind.key: "publish"}
    assert _steps(ledger, client, runs=1) == {replays[0]: "publish"}


def test_few_replays_are_in_front_of_a_run_whose_caller_waits(ledger, client, monkeypatch):
    monkeypatch.setattr("ledger.bounds.REPLAY_MESSAGES", 2)
    replays = _dead(ledger, client, "r-1", "r-2", "r-3")
    assert _steps(ledger, client, *replays) == dict.fromkeys(replays[:2], "publish")
    _take_from(client, "calls")
    assert _steps(ledger, client, runs=1, calls=1) == {}
    assert _steps(ledger, client, runs=1) == {replays[2]: "publish"}


def test_a_replay_whose_message_was_lost_is_published_again(ledger, client):
    lost, later = _dead(ledger, client, "r-1", "r-2")
    assert len(_steps(ledger, client, lost)) == 2
    assert _steps(ledger, client, lost, runs=7) == {}
    client.hincrby(f"tw:run:{later}", "published_at", 1)
    ledger.begin(later, 1)
    assert _steps(ledger, client, lost, runs=7) == {lost: "publish"}


def test_a_replay_of_the_bytes_alone_waits_for_no_worker(make_ledger, client):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a")).key
    _claim(ledger, key, seen=0)
    client.hset(f"tw:run:{key}", mapping={"expires_at": 1, "lease_until": 1})
    ledger.bury(key, 0, "expired")
    RunStore(ledger).replay(key, "submission")
    assert not client.exists("tw:unpublished")
    assert _steps(ledger, client, key, runs=7) == {key: "submit"}


def test_what_is_gone_leaves_no_place_in_a_queue(ledger, client, monkeypatch):
    monkeypatch.setattr("ledger.bounds.MESSAGES", 0)
    DueRuns(ledger).seen("host:1")
    key = ledger.accept("r-1", _calls("a")).key
    client.delete(f"tw:run:{key}")
    assert _steps(ledger, client, key, runs=7) == {}
    assert client.exists("tw:due", "tw:waiting", "tw:unpublished") == 0


def test_calls_that_no_worker_started_differ_from_those_that_took_too_long(ledger):
    key = ledger.accept("r-1", _calls("a", "b", "c")).key
    _begin(ledger, key)
    for index in (1, 2):
        _start(ledger, key, index)
    _record(ledger, key, 1)
    assert ledger.outputs(key, 0).unstarted == {0}
