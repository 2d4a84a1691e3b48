"""The send queue: parked runs go in order, without an attempt counted, and expire in time."""

import pytest
import redis

from ledger import Ledger
from ledger.due import DueRuns

BY = "the gate is closed"


@pytest.fixture
def client(redis_server):
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    client.flushall()
    return client


@pytest.fixture
def ledger(redis_server, client):
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    return Ledger(redis.Redis.from_url(redis_server.url), **times, dead_letter_retention_s=600)


def _complete(ledger, run_id):
    """A run whose one output is there."""
    call = {"id": "c", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    key = ledger.accept(run_id, [call]).key
    ledger.record(key, 0, 0, '{"n": 1}', code="ok", owner="o")
    return key


def _now_ms(client):
    seconds, micros = client.time()
    return seconds * 1000 + micros // 1000


def _answer_by_in(client, key, seconds):
    client.hset(f"tw:run:{key}", "answer_by", _now_ms(client) + seconds * 1000)


def _taken(ledger, **limits):
    return [(run.run_id, run.step) for run in DueRuns(ledger).take(**limits)]


def test_those_inside_their_answer_by_go_first_nearest_first_then_the_late_ones(ledger, client):
    # in an order that neither arrival nor key gives
    for run_id, seconds in [
        ("late", -5),
        ("near", 100),
        ("latest", -60),
        ("far", 300),
        ("mid", 200),
    ]:
        key = _complete(ledger, run_id)
        _answer_by_in(client, key, seconds)
        assert ledger.park(key, 0, BY) == "queued"
    assert _taken(ledger, senders=2) == [("near", "submit"), ("mid", "submit")]
    assert _taken(ledger, senders=8) == [
        ("far", "submit"),
        ("latest", "submit"),
        ("late", "submit"),
    ]
    assert _taken(ledger, senders=8) == []


def test_a_run_that_waits_has_no_attempt_no_lease_and_no_frozen_body(ledger, client):
    key = _complete(ledger, "r")
    assert ledger.park(key, 0, BY) == "queued"
    assert ledger.park(key, 0, BY) == "queued"
    entry = client.hgetall(f"tw:run:{key}")
    assert not {"attempts", "lease_until", "body", "fence"} & set(entry)
    assert entry["waits_for"] == BY
    ledger.claim(key, 0, b"{}", seen=1, owner="h")
    assert "waits_for" not in client.hgetall(f"tw:run:{key}")
    assert client.zcard("tw:turns") == 0


def test_nothing_is_taken_while_nothing_may_go_and_other_steps_are(ledger, client):
    call = {"id": "c", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    behind = ledger.accept("behind", [call]).key
    waiting = [_complete(ledger, f"w{number}") for number in range(300)]
    for key in waiting:
        client.zadd("tw:due", {key: 0})
    client.zadd("tw:due", {behind: 1})
    taken = [step for _ in range(3) for step in _taken(ledger, senders=8, may_go=0)]
    assert taken == [("behind", "publish")]
    assert client.zcard("tw:turns") == 300
    assert len(_taken(ledger, senders=8, may_go=3)) == 3


def test_a_run_that_waits_past_its_expiry_gets_the_step_expire(ledger, client):
    key = _complete(ledger, "r")
    ledger.park(key, 0, BY)
    past = _now_ms(client) - 1
    assert client.zscore("tw:due", key) == float(client.hget(f"tw:run:{key}", "expires_at"))
    client.hset(f"tw:run:{key}", "expires_at", past)
    client.zadd("tw:due", {key: past})
    assert _taken(ledger, senders=8, may_go=0) == [("r", "expire")]
    assert ledger.park(key, 0, BY) == "expired"
    ledger.bury(key, 0, "expired")
    assert client.zcard("tw:turns") == 0


def test_a_run_that_is_handed_to_one_that_dies_is_handed_out_again(ledger, client):
    key = _complete(ledger, "r")
    ledger.park(key, 0, BY)
    before = _now_ms(client)
    assert _taken(ledger, senders=1) == [("r", "submit")]
    due = client.zscore("tw:due", key)
    assert before + 5_000 <= due <= _now_ms(client) + 5_000
    client.zadd("tw:due", {key: 0})
    assert _taken(ledger, senders=1) == [("r", "submit")]


def test_a_run_that_may_not_be_sent_yet_joins_no_line(ledger):
    call = {"id": "c", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    key = ledger.accept("r", [call]).key
    assert ledger.park(key, 0, BY) == "incomplete"
    assert ledger.park(key, 1, BY) == "gone"
    ledger.record(key, 0, 0, "{}", code="ok", owner="o")
    claim = ledger.claim(key, 0, b"{}", seen=1, owner="h")
    assert ledger.park(key, 0, BY) == "held"
    ledger.postpone(key, 0, claim, {"status": 503}, delay_ms=60_000, is_unknown=False)
    assert ledger.park(key, 0, BY) == "waiting"


def test_a_run_that_another_sender_took_meanwhile_is_not_handed_out(ledger, client):
    key = _complete(ledger, "r")
    ledger.park(key, 0, BY)
    client.hset(f"tw:run:{key}", "lease_until", _now_ms(client) + 10_000)
    assert _taken(ledger, senders=8) == []
    assert client.zcard("tw:turns") == 0
