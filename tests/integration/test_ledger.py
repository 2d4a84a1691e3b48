"""The steps of a run on a real Redis: each is atomic, may be repeated, and leaves no run behind."""

import importlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tasks import holders
from tasks.errors import Conflict, LedgerUnavailable
from tasks.holders import new_holder
from tasks.ledger import Ledger, key_of
from tasks.records import Claim, Started
from tasks.scripts import connect
from tasks.turns import await_turn

OK = {"status": 200, "correlation_id": "c", "took_ms": 3}


@pytest.fixture
def client(redis_server):
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    return client


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
    recorded = ledger.record(key, 0, index, output, code="ok", took_ms=1)
    return recorded and recorded.left


def _claim(ledger, key, body=b"body", seen=1, holder="h"):
    return ledger.claim(key, 0, body, seen=seen, holder=holder)


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


def test_a_run_may_ask_for_tools_more_than_once(ledger):
    first, second = ledger.accept("r-1", _calls("a")), ledger.accept("r-1", _calls("b"))
    assert first.key != second.key
    assert not second.is_duplicate


def test_the_second_fan_out_gets_nothing_that_is_in_hand(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    assert ledger.begin(key, 0).missing == (0, 1)
    assert ledger.begin(key, 0).missing == ()


def _begin(ledger, key, **changes):
    return ledger.begin(key, 0, message="fan_out", **changes)


def _record_and_go_on(ledger, key, call):
    return ledger.record(key, 0, call.index, '{"n": 1}', code="ok", took_ms=1, message=call.message)


def test_a_fan_out_with_a_message_is_given_the_first_call_itself(ledger):
    key = ledger.accept("r-1", _calls("a", "b", "c")).key
    begun = _begin(ledger, key)
    assert (begun.taken.call_id, begun.taken.attempt, begun.missing) == ("a", 1, (1, 2))
    assert ledger.start(key, 0, 0) == "in_hand"
    assert _begin(ledger, key).taken is None


def test_of_a_large_run_six_calls_are_in_hand_and_whoever_is_done_goes_on(ledger):
    key = ledger.accept("r-1", _calls(*map(str, range(20)))).key
    begun = _begin(ledger, key)
    assert begun.missing == (1, 2, 3, 4, 5)
    in_hand = [begun.taken, *(ledger.start(key, 0, index) for index in begun.missing)]
    followed = []
    while in_hand:
        recorded = _record_and_go_on(ledger, key, in_hand.pop())
        if recorded.following:
            followed.append(recorded.following.index)
            in_hand.append(recorded.following)
    assert followed == list(range(6, 20))
    assert recorded.outputs == ledger.outputs(key, 0)


@pytest.mark.parametrize(
    ("may_follow", "calls", "missing"),
    [
        (1, 1, ()),
        (1, 2, ()),
        (1, 3, (2,)),
        (1, 4, (2,)),
        (1, 12, (2, 4, 6, 8, 10)),
        (3, 4, ()),
        (3, 5, (4,)),
        (3, 10, (4, 8)),
        (3, 40, (4, 8, 12, 16, 20)),
    ],
)
def test_some_quick_calls_follow_each_that_is_fanned_out(ledger, may_follow, calls, missing):
    key = ledger.accept("r-1", _calls(*map(str, range(calls)))).key
    begun = _begin(ledger, key, quick={"get_order": may_follow})
    assert begun.missing == missing
    call, answered = begun.taken, set()
    while call:
        answered.add(call.index)
        call = _record_and_go_on(ledger, key, call).following
    assert answered == set(range(calls)) - set(missing)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ("q", ()),
        ("qqq", ()),
        ("sqq", (1,)),
        ("qsq", (1, 2)),
        ("ssqqq", (1, 2)),
        ("qqsqqqqq", (2, 3, 7)),
    ],
)
def test_only_quick_calls_wait_and_only_for_a_quick_one(ledger, names, missing):
    calls = _calls(*map(str, range(len(names))))
    for call, name in zip(calls, names, strict=True):
        call["function"]["name"] = name
    begun = _begin(ledger, ledger.accept("r-1", calls).key, quick={"q": 3})
    assert begun.missing == missing


def test_calls_behind_one_that_hangs_are_fanned_out_when_a_message_would_be_late(
    ledger, monkeypatch
):
    monkeypatch.setattr("tasks.calls.REPUBLISH_MS", (0, 5_000))
    key = ledger.accept("r-1", _calls("a", "b", "c")).key
    hanging = _begin(ledger, key, quick={"get_order": 3})
    assert (hanging.taken.call_id, hanging.missing) == ("a", ())
    call = ledger.begin(key, 0, message="later", quick={"get_order": 3}).taken
    answered = []
    while call:
        answered.append(call.call_id)
        call = _record_and_go_on(ledger, key, call).following
    assert answered == ["b", "c"]
    assert _record_and_go_on(ledger, key, hanging.taken).outputs == ledger.outputs(key, 0)


def test_a_later_fan_out_leaves_spare_calls_to_those_who_go_on_with_them(ledger, monkeypatch):
    monkeypatch.setattr("tasks.calls.RELEASE_MS", 0)
    key = ledger.accept("r-1", _calls(*map(str, range(9)))).key
    first = _begin(ledger, key)
    second, started = ledger.start(key, 0, 1), ledger.start(key, 0, 2)
    assert ledger.release(key, 0, first.taken)
    assert ledger.release(key, 0, second)
    again = _begin(ledger, key)
    assert (again.taken.index, again.missing) == (0, (1,))
    assert _record_and_go_on(ledger, key, started).following.index == 6


def test_the_last_output_brings_all_outputs_with_it_and_no_other_does(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    begun = _begin(ledger, key)
    first = _record_and_go_on(ledger, key, ledger.start(key, 0, 1))
    assert (first.left, first.outputs, first.following) == (1, None, None)
    last = _record_and_go_on(ledger, key, begun.taken)
    assert (last.left, last.following) == (0, None)
    assert last.outputs.call_ids == ("a", "b")
    assert last.outputs.count == 2
    assert _record_and_go_on(ledger, key, begun.taken) is None


def test_a_fan_out_delivered_again_takes_over_the_call_that_it_had(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    _begin(ledger, key)
    again = _begin(ledger, key, may_take_over=True)
    assert (again.taken.index, again.taken.attempt, again.missing) == (0, 2, ())


def test_a_call_delivered_again_takes_over_the_one_with_which_it_had_gone_on(ledger):
    key = ledger.accept("r-1", _calls(*map(str, range(9)))).key
    _begin(ledger, key)
    following = _record_and_go_on(ledger, key, ledger.start(key, 0, 3)).following
    assert (following.index, following.message) == (6, "3")
    again = ledger.start(key, 0, 3, may_take_over=True)
    assert (again.index, again.attempt) == (6, 2)
    assert ledger.start(key, 0, 4).index == 4


def test_a_call_that_followed_and_killed_three_workers_is_poison(ledger):
    key = ledger.accept("r-1", _calls(*map(str, range(9)))).key
    _begin(ledger, key)
    _record_and_go_on(ledger, key, ledger.start(key, 0, 3))
    tries = [ledger.start(key, 0, 3, may_take_over=True) for _ in range(3)]
    assert [call.is_poison for call in tries] == [False, False, True]


def test_a_fan_out_whose_answer_was_lost_on_the_way_is_given_the_same_again(ledger, monkeypatch):
    key = ledger.accept("r-1", _calls(*map(str, range(20)))).key
    monkeypatch.setattr("tasks.calls.new_holder", lambda: "same")
    first, second = _begin(ledger, key), _begin(ledger, key)
    assert (first.taken.index, first.taken.attempt) == (second.taken.index, second.taken.attempt)
    assert first.missing == second.missing == (1, 2, 3, 4, 5)


def test_a_poison_call_whose_answer_was_lost_on_the_way_is_poison_again(ledger, monkeypatch):
    key = ledger.accept("r-1", _calls("a")).key
    for _ in range(3):
        ledger.start(key, 0, 0, may_take_over=True)
    monkeypatch.setattr("tasks.calls.new_holder", lambda: "same")
    answers = [ledger.start(key, 0, 0, may_take_over=True).is_poison for _ in range(2)]
    assert answers == [True, True]


def test_a_record_whose_answer_was_lost_on_the_way_gives_the_same_again(ledger, monkeypatch):
    key = ledger.accept("r-1", _calls(*map(str, range(8)))).key
    begun = _begin(ledger, key)
    calls = [begun.taken, *(ledger.start(key, 0, index) for index in begun.missing)]
    with monkeypatch.context() as patch:
        patch.setattr("tasks.calls.new_holder", lambda: "same")
        first, again = (_record_and_go_on(ledger, key, calls[0]) for _ in range(2))
    assert (first.following.index, first.following.attempt) == (6, 1)
    assert (again.left, again.following.index, again.following.attempt) == (7, 6, 1)
    for call in [*calls[1:], ledger.start(key, 0, 7), first.following][:-1]:
        _record_and_go_on(ledger, key, call)
    monkeypatch.setattr("tasks.calls.new_holder", lambda: "last")
    last = [_record_and_go_on(ledger, key, first.following) for _ in range(2)]
    assert last[0] == last[1]
    assert (last[0].left, last[0].outputs.count) == (0, 8)


def test_a_call_delivered_again_is_left_to_whoever_else_has_it(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    ledger.begin(key, 0)
    assert _begin(ledger, key).taken is None
    assert ledger.start(key, 0, 0).attempt == 1
    client = ledger.client
    client.hset(f"tw:run:{key}", "message:0", "fan_out")  # as a later fan-out would have it
    assert ledger.start(key, 0, 0, may_take_over=True) == "in_hand"


def test_a_sender_that_read_before_the_body_was_frozen_sends_no_other_bytes(make_ledger):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a", "b")).key
    _record(ledger, key, 0)
    claim = _claim(ledger, key, b"both", seen=1, holder="first")
    ledger.postpone(key, 0, claim, {}, delay_ms=0, is_unknown=False)
    assert _claim(ledger, key, b"one", seen=1, holder="second") == "changed"
    assert isinstance(_claim(ledger, key, b"both", seen=0, holder="second"), Claim)


def test_a_released_call_is_not_what_a_later_message_takes_over(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    begun = _begin(ledger, key)
    assert ledger.release(key, 0, begun.taken)
    assert _begin(ledger, key, may_take_over=True).taken is None


def test_a_run_without_calls_is_complete_at_once(ledger):
    begun = ledger.begin(ledger.accept("r-1", []).key, 0)
    assert (begun.missing, begun.is_complete) == ((), True)


def test_a_call_has_one_holder_at_a_time(ledger):
    key = ledger.accept("r-1", _calls("a", arguments='{"number": 7}')).key
    call = ledger.start(key, 0, 0)
    assert isinstance(call, Started)
    assert (call.name, call.arguments, call.attempt) == ("get_order", '{"number": 7}', 1)
    assert 27_000 < call.left_ms <= 28_000
    assert ledger.start(key, 0, 0) == "in_hand"


def test_a_call_that_killed_its_worker_three_times_is_poison(ledger):
    key = ledger.accept("r-1", _calls("a")).key
    tries = [ledger.start(key, 0, 0, may_take_over=True) for _ in range(4)]
    assert [call.attempt for call in tries] == [1, 2, 3, 3]
    assert [call.is_poison for call in tries] == [False, False, False, True]


def test_arguments_survive_as_sent_lone_surrogates_included(ledger):
    key = ledger.accept("r-1", _calls("a", arguments='{"q": "\ud800\x00é"}')).key
    assert ledger.start(key, 0, 0).arguments == '{"q": "\ud800\x00é"}'


def test_no_call_is_started_in_the_last_two_seconds(make_ledger):
    ledger = make_ledger(answer_by_s=2)
    key = ledger.accept("r-1", _calls("a")).key
    assert ledger.start(key, 0, 0) == "late"


def test_the_first_output_wins(ledger):
    key = ledger.accept("r-1", _calls("a", "b")).key
    assert _record(ledger, key, 0, '"first"') == 1
    assert _record(ledger, key, 0, '"second"') is None
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
        claims = list(pool.map(lambda n: _claim(ledger, key, holder=f"h{n}"), range(20)))
    assert sum(isinstance(claim, Claim) for claim in claims) == 1
    assert claims.count("held") == 19


def test_a_repeated_claim_of_the_same_holder_is_the_same_claim(ledger):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    first, second = _claim(ledger, key), _claim(ledger, key)
    assert (first.fence, first.attempt) == (second.fence, second.attempt)


def test_a_claim_whose_sender_died_makes_the_next_one_a_repeat(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    assert not _claim(ledger, key, holder="dies").is_repeat
    client.hset(f"tw:run:{key}", "lease_until", 0)
    assert _claim(ledger, key, holder="next").is_repeat


def test_a_postponed_run_waits_and_only_its_holder_may_postpone(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    claim = _claim(ledger, key)
    stale = Claim(claim.fence - 1, 1, 1, is_repeat=False)
    ledger.postpone(key, 0, stale, {"status": 503}, delay_ms=1, is_unknown=False)
    assert _claim(ledger, key, holder="other") == "held"
    ledger.postpone(key, 0, claim, {"status": 503}, delay_ms=60_000, is_unknown=False)
    assert _claim(ledger, key, holder="other") == "waiting"


def test_an_attempt_that_is_told_twice_to_have_ended_is_counted_once(ledger, client):
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
    _claim(ledger, key, holder="sends")
    client.hset(f"tw:run:{key}", "expires_at", 0)
    assert _claim(ledger, key, holder="other") == "held"
    assert await_turn(ledger, key, 0, "the rate") == "held"
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


def test_no_two_holders_have_one_name_even_when_a_process_id_comes_again():
    before = {new_holder() for _ in range(100)}
    importlib.reload(holders)  # the same host and process id, counting from 0 again
    assert len(before | {holders.new_holder() for _ in range(100)}) == 200


def test_a_finished_run_keeps_its_timeline_and_not_its_data(ledger, client):
    key = ledger.accept("r-1", _calls("a", arguments='{"secret": "planted"}')).key
    ledger.start(key, 0, 0)
    _record(ledger, key, 0, '{"row": "planted"}')
    _claim(ledger, key, b'{"row": "planted"}')
    ledger.finish(key, 0, OK)
    kept = client.hgetall(f"tw:run:{key}")
    assert kept[b"state"] == b"submitted"
    assert not any(b"planted" in value for value in kept.values())
    assert 0 < client.ttl(f"tw:run:{key}") <= 60
    assert client.zcard("tw:due") == 0


def test_every_step_says_gone_after_the_end_and_makes_no_key(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    _record(ledger, key, 0)
    _claim(ledger, key)
    ledger.finish(key, 0, OK)
    client.delete(f"tw:run:{key}")
    assert ledger.begin(key, 0) is None
    assert ledger.start(key, 0, 0) == "gone"
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


def test_a_ledger_that_is_away_is_said_so_in_time(redis_server, free_port):
    client = connect(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2, retries=0)
    away = Ledger(
        client, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=600
    )
    with pytest.raises(LedgerUnavailable):
        away.accept("r-1", _calls("a"))


def test_a_run_that_nobody_began_is_published_again(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    assert ledger.due(senders=1) == []
    client.zadd("tw:due", {key: 0})
    (run,) = ledger.due(senders=1)
    assert (run.key, run.run_id, run.generation, run.step) == (key, "r-1", 0, "publish")
    assert ledger.due(senders=1) == []


def test_a_call_in_hand_is_left_alone_by_the_reconciler(ledger, client):
    key = ledger.accept("r-1", _calls("a")).key
    ledger.begin(key, 0)
    ledger.start(key, 0, 0)
    client.zadd("tw:due", {key: 0})
    assert ledger.due(senders=1) == []
    seconds, micros = client.time()
    in_s = client.zscore("tw:due", key) / 1000 - seconds - micros / 1e6
    assert 6 < in_s <= 7  # the default timeout of 5 s and 2 s


def test_a_run_past_answer_by_is_submitted_with_what_there_is(make_ledger, client):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a", "b")).key
    client.zadd("tw:due", {key: 0})
    (run,) = ledger.due(senders=1)
    assert run.step == "submit"


def test_what_needs_a_sender_stays_due_while_none_is_free(make_ledger, client):
    ledger = make_ledger(answer_by_s=0)
    key = ledger.accept("r-1", _calls("a")).key
    client.zadd("tw:due", {key: 0})
    assert ledger.due(senders=0) == []
    assert [run.key for run in ledger.due(senders=1)] == [key]


def test_a_run_past_its_expiry_is_not_sent_any_more(make_ledger, client):
    ledger = make_ledger(answer_by_s=0, expires_s=0)
    key = ledger.accept("r-1", _calls("a")).key
    client.zadd("tw:due", {key: 0})
    (run,) = ledger.due(senders=1)
    assert run.step == "expire"
    assert _claim(ledger, key, seen=0) == "expired"
    ledger.bury(key, 0, "expired")
    assert client.hget(f"tw:run:{key}", "reason") == b"expired"
    assert client.zscore("tw:dead", key) is not None
