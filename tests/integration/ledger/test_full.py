"""A ledger whose memory is used up takes no new run, and ends those that it has."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from ledger import Ledger, connect
from ledger.admin import RunStore
from ledger.due import DueRuns
from ledger.errors import LedgerUnavailable

DOWN = {"status": 503, "took_ms": 3}


@pytest.fixture
def client(own_redis_server):
    return redis.Redis.from_url(own_redis_server().url, decode_responses=True)


@pytest.fixture
def ledger(client):
    port = client.connection_pool.connection_kwargs["port"]
    own = connect(f"redis://127.0.0.1:{port}/0", timeout_s=1, retries=0)
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    return Ledger(own, **times, dead_letter_retention_s=60)


def _accept(ledger, run_id, *call_ids):
    function = {"name": "get_order", "arguments": "{}"}
    return ledger.accept(
        run_id, [{"id": i, "type": "function", "function": function} for i in call_ids]
    )


def _record(ledger, key, call):
    return ledger.record(key, 0, call.index, '{"n": 1}', owner=call.owner, code="ok")


def _claim(ledger, key, owner):
    return ledger.claim(key, 0, b"body", seen=2, owner=owner)


def test_a_full_ledger_takes_no_new_run_and_knows_those_that_it_has(ledger, client):
    _accept(ledger, "r-1", "a")
    client.config_set("maxmemory", 1)
    with pytest.raises(LedgerUnavailable):
        _accept(ledger, "r-2", "a")
    assert len(client.keys("tw:run:*")) == client.zcard("tw:due") == 1
    assert _accept(ledger, "r-1", "a").is_duplicate


def test_a_refused_delivery_breaks_the_step_of_no_other_thread(ledger, client):
    client.config_set("maxmemory", 1)
    with ThreadPoolExecutor(1) as other:
        step = other.submit(ledger.call, lambda: ledger.client.blpop(["a list"]))
        while not client.info("clients")["blocked_clients"]:
            assert not step.done()
        with pytest.raises(LedgerUnavailable):
            _accept(ledger, "r-1", "a")
        client.config_set("maxmemory", 0)
        client.rpush("a list", "value")
        assert step.result() == (b"a list", b"value")


def test_a_full_ledger_lets_a_run_go_through_every_step_to_its_end(ledger, client):
    key = _accept(ledger, "r", "a", "b").key
    client.config_set("maxmemory", 1)

    assert ledger.begin(key, 0, message="fan_out").missing == (0, 1)
    first, second = (ledger.start(key, 0, index, message="m") for index in (0, 1))
    assert ledger.release(key, 0, second)
    second = ledger.start(key, 0, 1, message="m")
    assert [_record(ledger, key, call) for call in (first, second)] == [1, 0]
    assert ledger.outputs(key, 0).run_id == "r"

    claim = _claim(ledger, key, "sends")
    assert ledger.renew(key, 0, claim, DOWN, attempt=1, is_unknown=False)
    ledger.postpone(key, 0, claim, DOWN, delay_ms=0, is_unknown=False)
    assert ledger.park(key, 0, "the rate") == "queued"
    assert [run.step for run in DueRuns(ledger).take(senders=1)] == ["submit"]
    _claim(ledger, key, "sends again")
    ledger.finish(key, 0, {"status": 200})
    assert client.hget(f"tw:run:{key}", "state") == "submitted"
    assert client.zcard("tw:due") == 0


def test_a_full_ledger_buries_a_run_and_forgets_it_but_does_not_open_it_again(ledger, client):
    key = _accept(ledger, "r", "a").key
    client.hset(f"tw:run:{key}", "expires_at", 0)
    client.zadd("tw:due", {key: 0})
    client.config_set("maxmemory", 1)

    assert [run.step for run in DueRuns(ledger).take(senders=1)] == ["expire"]
    assert ledger.bury(key, 0, "expired")
    archive = RunStore(ledger)
    with pytest.raises(LedgerUnavailable):
        archive.replay(key, "full")
    archive.drop(key)
    assert client.keys("tw:run:*") == []
