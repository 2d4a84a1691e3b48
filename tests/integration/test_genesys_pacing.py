"""The fleet's pace on a real Redis: rate, gate and circuit, asked by many workers at once."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from genesys.pacing import rate_limiter
from genesys.pacing.rate_limiter import Gate
from genesys.store import Store


@pytest.fixture
def fleet():
    return uuid.uuid4().hex


@pytest.fixture
def make_gate(redis_server, fleet):
    """Make the gate of one more worker of the same, new fleet."""

    def make(requests_per_minute=300, **options):
        store = Store(redis_server.url, [fleet])
        return Gate(store, requests_per_minute=requests_per_minute, **options)

    return make


@pytest.fixture
def quick_circuit(monkeypatch):
    """A circuit that opens for a tenth of a second, and at most for two tenths."""
    monkeypatch.setattr(rate_limiter, "OPEN_S", 0.1)
    monkeypatch.setattr(rate_limiter, "LONGEST_OPEN_S", 0.2)


def _wait_until_it_may_go(gate, within_s=3):
    deadline = time.monotonic() + within_s
    while (turn := gate.ask()).wait_s:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return turn


def test_of_fifty_workers_at_once_exactly_as_many_go_as_the_rate_allows(make_gate):
    gates = [make_gate(20) for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        turns = list(pool.map(lambda gate: gate.ask(), gates))
    assert [turn.wait_s == 0 for turn in turns].count(True) == 20
    waits = [turn for turn in turns if turn.wait_s]
    assert {turn.why for turn in waits} == {"rate"}
    assert all(59 < turn.wait_s <= 61 for turn in waits)


def test_a_place_is_free_again_when_its_minute_is_over_and_not_before(make_gate):
    gate = make_gate(2, window_s=0.5)
    began = time.monotonic()
    assert [gate.ask().wait_s for _ in range(2)] == [0, 0]
    count, wait_s = gate.room(5)
    assert (count, 0.3 < wait_s <= 0.5) == (0, True)
    _wait_until_it_may_go(gate)
    assert time.monotonic() - began >= 0.5


def test_a_right_that_is_given_back_is_there_for_the_next(make_gate):
    gate = make_gate(1)
    assert gate.ask().wait_s == 0
    gate.give_back()
    assert gate.ask().wait_s == 0
    assert gate.ask().wait_s > 0


def test_looking_takes_nothing(make_gate):
    gate = make_gate(3)
    assert [gate.room(n) for n in (8, 2, 0, 8)] == [(3, 0), (2, 0), (0, 0), (3, 0)]


@pytest.mark.parametrize("retry_after_s", [0.0, 0.3])
def test_a_429_that_asks_for_no_wait_closes_the_gate_for_a_second(make_gate, retry_after_s):
    make_gate().is_throttled(retry_after_s)
    assert 0.9 < make_gate().ask().wait_s <= 1


def test_a_429_closes_the_gate_for_all_until_retry_after(make_gate):
    gate, other = make_gate(), make_gate()
    gate.is_throttled(42)
    turn = other.ask()
    assert (turn.why, 41 < turn.wait_s <= 42) == ("throttled", True)
    assert other.room(8)[0] == 0


def test_a_429_that_names_no_time_closes_the_gate_for_three_seconds(make_gate):
    make_gate().is_throttled(None)
    assert 2 < make_gate().ask().wait_s <= 3


def test_a_shorter_retry_after_does_not_open_the_gate_earlier(make_gate):
    gate = make_gate()
    gate.is_throttled(42)
    gate.is_throttled(1)
    assert gate.ask().wait_s > 40


def test_a_retry_after_of_hours_closes_the_gate_for_ten_minutes(make_gate):
    make_gate().is_throttled(86_400)
    assert 598 < make_gate().ask().wait_s <= 600


def test_after_a_429_posts_go_one_by_one(make_gate):
    gate = make_gate(600)
    gate.is_throttled(0)
    _wait_until_it_may_go(gate)
    turn = gate.ask()
    assert (turn.why, 0 < turn.wait_s <= 0.102) == ("throttled", True)
    _wait_until_it_may_go(gate)


def test_five_failures_in_a_row_open_the_circuit_for_all(make_gate):
    gate, other = make_gate(), make_gate()
    for _ in range(4):
        gate.is_down()
    assert other.ask().wait_s == 0
    gate.is_down()
    turn = other.ask()
    assert (turn.why, 0 < turn.wait_s <= 1) == ("circuit", True)


def test_an_answer_in_between_keeps_the_circuit_closed(make_gate):
    gate = make_gate()
    for _ in range(4):
        gate.is_down()
    assert gate.ask().is_watched
    gate.is_there()
    assert not gate.ask().is_watched
    gate.is_down()
    assert gate.ask().wait_s == 0


def test_an_open_circuit_lets_one_probe_through_and_closes_when_it_is_answered(
    make_gate, quick_circuit
):
    gate, other = make_gate(), make_gate()
    for _ in range(5):
        gate.is_down()
    assert _wait_until_it_may_go(gate).is_watched
    turn = other.ask()
    assert (turn.why, 11 < turn.wait_s <= 12) == ("circuit", True)
    gate.is_there()
    assert [other.ask().wait_s for _ in range(10)] == [0] * 10


def test_a_probe_that_fails_keeps_the_circuit_open_for_twice_as_long(make_gate, quick_circuit):
    gate = make_gate()
    for _ in range(5):
        gate.is_down()
    _wait_until_it_may_go(gate)
    gate.is_down()
    assert 0.1 < gate.ask().wait_s <= 0.2
    _wait_until_it_may_go(gate)
    gate.is_down()
    assert gate.ask().wait_s <= 0.2  # the longest


def test_a_probe_that_is_given_back_goes_to_the_next(make_gate, quick_circuit):
    gate = make_gate()
    for _ in range(5):
        gate.is_down()
    _wait_until_it_may_go(gate)
    gate.give_back()
    assert make_gate().ask().wait_s == 0


def test_while_redis_is_away_everything_may_go_but_for_ones_own_429s(free_port):
    gate = Gate(Store(f"redis://127.0.0.1:{free_port()}/0", ["f"]), requests_per_minute=1)
    assert [gate.ask().wait_s for _ in range(3)] == [0, 0, 0]
    assert gate.room(8) == (8, 0)
    gate.is_down()
    gate.give_back()
    assert gate.ask().wait_s == 0
    gate.is_throttled(60)
    turn = gate.ask()
    assert (turn.why, 50 < turn.wait_s <= 60) == ("throttled", True)
    assert gate.room(8)[0] == 0


def test_the_limit_and_a_429_hold_while_the_memory_of_redis_is_full(own_redis_server):
    server = own_redis_server()
    client = redis.Redis.from_url(server.url)
    gates = [Gate(Store(server.url, ["f"]), requests_per_minute=2) for _ in range(2)]
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("k", "v")
    waits = [gate.ask().wait_s for gate in gates for _ in range(3)]
    assert [wait_s == 0 for wait_s in waits] == [True, True, False, False, False, False]
    gates[0].is_throttled(300)
    assert gates[1].ask().why == "throttled"
    for _ in range(5):
        gates[0].is_down()
    assert gates[1].standing().is_circuit_open


def _make_replica(client):
    client.replicaof("127.0.0.1", 1)
    return lambda: client.replicaof("NO", "ONE")


def _deny(client):
    client.execute_command("ACL", "SETUSER", "default", "-rpush")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+rpush")


@pytest.mark.parametrize("refuse", [_make_replica, _deny])
def test_nothing_is_sent_while_redis_refuses_to_keep_the_limit(own_redis_server, refuse):
    server = own_redis_server()
    allow = refuse(redis.Redis.from_url(server.url))
    gate = Gate(Store(server.url, ["f"]), requests_per_minute=1)
    for _ in range(3):
        turn = gate.ask()
        assert (turn.why, turn.wait_s) == ("unkept", 1)
    gate.is_there()
    gate.is_throttled(0.001)
    gate.give_back()
    allow()
    _wait_until_it_may_go(gate)
    assert gate.ask().wait_s > 0


def test_the_gate_finds_the_new_primary_though_the_old_one_answers(failover):
    gate = Gate(Store(failover.url, ["f"]), requests_per_minute=1)
    gate.ask()
    failover.demote()
    assert gate.ask().why == "unkept"
    failover.lead_to_the_new()
    assert gate.ask().wait_s == 0
    assert gate.ask().why == "rate"
    assert failover.new.keys("tw:genesys:*window")


def test_nothing_of_the_gate_stays_in_redis_for_ever(make_gate, redis_server):
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    others = set(client.scan_iter("tw:genesys:*gate*"))
    gate = make_gate()
    gate.ask()
    gate.is_down()
    keys = set(client.scan_iter("tw:genesys:*gate*")) - others
    assert {key.rpartition("}:")[2] for key in keys} == {"gate", "gate:window"}
    assert all(0 < client.ttl(key) <= 722 for key in keys)
