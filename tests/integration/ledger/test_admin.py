"""Operators' queries: find a run, replay a dead letter in three ways, drop a run."""

import json

import pytest
import redis

from ledger import Ledger
from ledger.admin import RunStore
from ledger.due import DueRuns
from ledger.errors import NoSuchRun, NotReplayable


@pytest.fixture
def ledger(redis_server):
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    return Ledger(
        client, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=600
    )


@pytest.fixture
def archive(ledger):
    return RunStore(ledger)


def _accept(ledger, run_id="r-1", ids=("a", "b", "c")):
    calls = [
        {"id": i, "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
        for i in ids
    ]
    return ledger.accept(run_id, calls).key


@pytest.fixture
def dead(ledger):
    """A dead letter of three calls: one good, one that timed out, one with bad arguments."""
    key = _accept(ledger)
    for index, code in enumerate(["ok", "timeout", "invalid_arguments"]):
        ledger.record(key, 0, index, json.dumps({"code": code}), code=code, owner="o")
    claim = ledger.claim(key, 0, b"body", seen=3, owner="h")
    ledger.bury(key, 0, "rejected", claim=claim, outcome={"status": 403})
    return key


def test_mode_submission_keeps_generation_and_bytes(ledger, archive, dead):
    assert archive.replay(dead, "submission") == 0
    assert ledger.outputs(dead, 0).body == b"body"
    assert ledger.claim(dead, 0, b"body", seen=0, owner="h2").attempt == 1


def test_mode_failed_calls_repeats_only_calls_that_may_succeed_now(ledger, archive, dead):
    assert archive.replay(dead, "failed-calls") == 1
    assert ledger.outputs(dead, 1).outputs == (
        '{"code": "ok"}',
        None,
        '{"code": "invalid_arguments"}',
    )
    assert ledger.begin(dead, 1).missing == (1,)


def test_a_poison_call_is_started_again_after_a_replay(ledger, archive):
    key = _accept(ledger, ids="a")
    tries = [ledger.start(key, 0, 0, message="m", may_take_over=True) for _ in range(4)]
    assert tries[3].is_poison
    ledger.client.hset(f"tw:run:{key}", "expires_at", 0)
    ledger.bury(key, 0, "expired")
    archive.replay(key, "full")
    started = ledger.start(key, 1, 0, message="m")
    assert (started.attempt, started.is_poison) == (1, False)


def test_mode_full_repeats_every_call(ledger, archive, dead):
    assert archive.replay(dead, "full") == 1
    assert ledger.begin(dead, 1).missing == (0, 1, 2)


def test_a_replay_has_fresh_clocks_and_is_due_at_once(ledger, archive, dead):
    ledger.client.hset(f"tw:run:{dead}", mapping={"answer_by": 1, "expires_at": 1})
    archive.replay(dead, "full")
    assert not archive.place(dead).has_message
    (run,) = DueRuns(ledger).take(senders=1, queued={"toolworker": 0})
    assert (run.key, run.generation, run.step) == (dead, 1, "publish")
    assert ledger.client.ttl(f"tw:run:{dead}") == -1


@pytest.fixture
def unconfirmed(ledger):
    """A dead letter whose sender was never heard of again, and that sender's claim."""
    key = _accept(ledger, ids="a")
    ledger.record(key, 0, 0, "{}", code="timeout", owner="o")
    claim = ledger.claim(key, 0, b"body", seen=1, owner="h")
    ledger.client.hset(f"tw:run:{key}", mapping={"lease_until": 0, "expires_at": 0})
    assert ledger.bury(key, 0, "expired") == "unconfirmed"
    return key, claim


def test_a_replay_of_what_may_have_arrived_is_a_repeat(ledger, archive, unconfirmed):
    key, _ = unconfirmed
    archive.replay(key, "submission")
    assert ledger.claim(key, 0, b"body", seen=0, owner="h2").is_repeat


def test_other_bytes_do_not_make_it_known_whether_the_first_arrived(ledger, archive, unconfirmed):
    key, _ = unconfirmed
    archive.replay(key, "full")
    ledger.record(key, 1, 0, '{"n": 2}', code="ok", owner="o")
    assert ledger.claim(key, 1, b"other", seen=1, owner="h2").is_repeat


def test_a_sender_of_before_a_replay_cannot_end_or_move_it(ledger, archive, unconfirmed):
    key, claim = unconfirmed
    archive.replay(key, "submission")
    assert ledger.bury(key, 0, "rejected", claim=claim) is None
    ledger.postpone(key, 0, claim, {}, delay_ms=60_000, is_unknown=False)
    assert not ledger.renew(key, 0, claim, {}, attempt=1, is_unknown=False)
    (run,) = DueRuns(ledger).take(senders=1)
    assert (run.key, run.step) == (key, "submit")


def test_a_sender_from_before_a_replay_still_reports_that_it_arrived(ledger, archive, unconfirmed):
    key, _ = unconfirmed
    archive.replay(key, "submission")
    ledger.finish(key, 0, {"status": 200})
    assert ledger.client.hget(f"tw:run:{key}", "state") == b"submitted"
    assert DueRuns(ledger).take(senders=1) == []


def test_steps_of_the_old_generation_find_the_run_gone(ledger, archive, dead):
    archive.replay(dead, "full")
    assert ledger.begin(dead, 0) is None
    assert ledger.record(dead, 0, 1, "late", code="ok", owner="o") is None
    assert ledger.outputs(dead, 1).outputs == (None, None, None)


def test_an_equal_delivery_of_a_dead_letter_is_a_duplicate(ledger, dead):
    assert _accept(ledger) == dead
    assert DueRuns(ledger).take(senders=1) == []


def test_only_a_dead_letter_is_replayed_and_only_an_ended_run_dropped(ledger, archive):
    key = _accept(ledger)
    with pytest.raises(NotReplayable, match="the run is open, or ended well"):
        archive.replay(key, "full")
    with pytest.raises(NotReplayable, match=r"the run is open$"):
        archive.drop(key)
    with pytest.raises(NotReplayable, match="no such run"):
        archive.drop("0" * 32)


def test_a_run_that_was_never_frozen_has_no_submission_to_replay(ledger, archive):
    key = _accept(ledger)
    ledger.client.hset(f"tw:run:{key}", "expires_at", 0)
    assert ledger.bury(key, 0, "expired")
    with pytest.raises(NotReplayable, match="nothing was ready"):
        archive.replay(key, "submission")


def test_a_run_that_redis_forgot_by_itself_leaves_the_lists_when_it_is_dropped(
    ledger, archive, dead
):
    ledger.client.delete(f"tw:run:{dead}")
    with pytest.raises(NotReplayable, match="no such run"):
        archive.drop(dead)
    assert ledger.client.zcard("tw:dead") == 0


def test_a_dropped_run_leaves_nothing_and_its_key_may_come_again(ledger, archive, dead):
    archive.drop(dead)
    assert ledger.client.keys("tw:*") == []
    assert _accept(ledger) == dead
    assert archive.keys("open") == [dead]


def test_a_run_is_found_by_key_or_by_a_run_id_that_is_its_alone(ledger, archive, dead):
    assert archive.find(dead) == archive.find("r-1") == dead
    other = _accept(ledger, ids=("z",))
    with pytest.raises(NoSuchRun, match=other):
        archive.find("r-1")
    with pytest.raises(NoSuchRun, match="no run"):
        archive.find("r-2")
