"""Rate limiter and circuit breaker of the fleet on a real Redis, with many workers at once."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from genesys.pacing import rate_limiter
from genesys.pacing.rate_limiter import RateLimiter
from genesys.store import Store
from tests.proxy import Proxy
from tests.timing import until_unstalled


@pytest.fixture
def fleet():
    return uuid.uuid4().hex


@pytest.fixture
def make_limiter(patient_store, redis_server, fleet):
    """Make the limiter of one more worker of the same, new fleet."""

    def make(requests_per_minute=300, **options):
        store = Store(redis_server.url, [fleet])
        return RateLimiter(store, requests_per_minute=requests_per_minute, **options)

    return make


@pytest.fixture
def quick_circuit(monkeypatch):
    """A circuit that opens for a tenth of a second, and at most for two tenths."""
    monkeypatch.setattr(rate_limiter, "OPEN_S", 0.1)
    monkeypatch.setattr(rate_limiter, "LONGEST_OPEN_S", 0.2)


def _assert_held(turn, why, full_s, since):
    """A turn taken after *since* (monotonic) is held for what is left of *full_s*, for *why*."""
    passed_s = time.monotonic() - since
    if passed_s < full_s:
        assert turn.why == why
    # Redis counts whole milliseconds, by another clock
    assert full_s - passed_s - 0.01 <= turn.wait_s <= full_s


def _wait_until_it_may_go(limiter, within_s=60):
    deadline = time.monotonic() + within_s
    while (turn := limiter.acquire()).wait_s:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return turn


def test_of_fifty_workers_at_once_exactly_as_many_go_as_the_rate_allows(make_limiter):
    limiters, began = [make_limiter(20) for _ in range(50)], time.monotonic()
    with ThreadPoolExecutor(50) as pool:
        turns = list(pool.map(lambda limiter: limiter.acquire(), limiters))
    assert [turn.wait_s == 0 for turn in turns].count(True) == 20
    waits = [turn for turn in turns if turn.wait_s]
    for turn in waits:
        _assert_held(turn, "rate", 61, began)


def test_a_place_is_free_again_when_its_minute_is_over_and_not_before(patient_store, redis_server):
    def attempt():
        store = Store(redis_server.url, [uuid.uuid4().hex])
        limiter = RateLimiter(store, requests_per_minute=2, window_s=0.5)
        began = time.monotonic()
        assert [limiter.acquire().wait_s for _ in range(2)] == [0, 0]
        count, wait_s = limiter.available(5)
        passed_s = time.monotonic() - began
        if passed_s >= 0.4:
            return None
        assert count == 0
        assert 0.49 - passed_s <= wait_s <= 0.5
        _wait_until_it_may_go(limiter)
        assert time.monotonic() - began >= 0.5
        return True

    until_unstalled(attempt)


def test_what_is_left_of_genesys_limit_is_the_whole_fleets_until_the_minute_is_over(make_limiter):
    make_limiter().record_remaining(12)
    make_limiter().record_remaining(0)
    assert make_limiter().status().remaining == 0
    assert make_limiter(window_s=0).status().remaining is None


def test_a_right_that_is_given_back_is_there_for_the_next(make_limiter):
    limiter = make_limiter(1)
    assert limiter.acquire().wait_s == 0
    limiter.give_back()
    assert limiter.acquire().wait_s == 0
    assert limiter.acquire().wait_s > 0


def test_looking_takes_nothing(make_limiter):
    limiter = make_limiter(3)
    assert [limiter.available(n) for n in (8, 2, 0, 8)] == [(3, 0), (2, 0), (0, 0), (3, 0)]


@pytest.mark.parametrize("retry_after_s", [0.0, 0.3])
def test_a_429_with_a_retry_after_of_0_closes_the_limiter_for_a_second(make_limiter, retry_after_s):
    limiter, other, began = make_limiter(), make_limiter(), time.monotonic()
    limiter.record_throttled(retry_after_s)
    _assert_held(other.acquire(), "throttled", 1, began)


def test_a_429_closes_the_limiter_for_all_until_retry_after(make_limiter):
    limiter, other, began = make_limiter(), make_limiter(), time.monotonic()
    limiter.record_throttled(42)
    _assert_held(other.acquire(), "throttled", 42, began)
    assert other.available(8)[0] == 0


def test_a_429_that_names_no_time_closes_the_limiter_for_three_seconds(make_limiter):
    limiter, other, began = make_limiter(), make_limiter(), time.monotonic()
    limiter.record_throttled(None)
    _assert_held(other.acquire(), "throttled", 3, began)


def test_a_shorter_retry_after_does_not_open_the_limiter_earlier(make_limiter):
    limiter, began = make_limiter(), time.monotonic()
    limiter.record_throttled(42)
    limiter.record_throttled(1)
    _assert_held(limiter.acquire(), "throttled", 42, began)


def test_a_retry_after_of_hours_closes_the_limiter_for_ten_minutes(make_limiter):
    limiter, other, began = make_limiter(), make_limiter(), time.monotonic()
    limiter.record_throttled(86_400)
    _assert_held(other.acquire(), "throttled", 600, began)


def test_after_a_429_posts_go_one_by_one(make_limiter):
    limiter = make_limiter(600)
    limiter.record_throttled(0)

    def attempt():
        began = time.monotonic()
        _wait_until_it_may_go(limiter)
        gone = time.monotonic()
        turn = limiter.acquire()
        if time.monotonic() - gone >= 0.05:
            return None
        assert (turn.why, 0 < turn.wait_s <= 0.102) == ("throttled", True)
        return gone - began

    until_unstalled(attempt, tries=50)
    _wait_until_it_may_go(limiter)


def test_five_failures_in_a_row_open_the_circuit_for_all(make_limiter):
    limiter, other = make_limiter(), make_limiter()
    for _ in range(4):
        limiter.record_failure()
    assert other.acquire().wait_s == 0
    began = time.monotonic()
    limiter.record_failure()
    _assert_held(other.acquire(), "circuit", 1, began)


def test_an_answer_in_between_keeps_the_circuit_closed(make_limiter):
    limiter = make_limiter()
    for _ in range(4):
        limiter.record_failure()
    assert limiter.acquire().is_watched
    limiter.record_success()
    assert not limiter.acquire().is_watched
    limiter.record_failure()
    assert limiter.acquire().wait_s == 0


def test_an_open_circuit_lets_one_probe_through_and_closes_when_it_is_answered(
    make_limiter, quick_circuit
):
    limiter, other = make_limiter(), make_limiter()
    for _ in range(5):
        limiter.record_failure()
    began = time.monotonic()
    assert _wait_until_it_may_go(limiter).is_watched
    _assert_held(other.acquire(), "circuit", 12, began)
    limiter.record_success()
    assert [other.acquire().wait_s for _ in range(10)] == [0] * 10


def test_a_probe_that_fails_keeps_the_circuit_open_for_twice_as_long(make_limiter, quick_circuit):
    limiter = make_limiter()
    for _ in range(5):
        limiter.record_failure()
    _wait_until_it_may_go(limiter)
    began = time.monotonic()
    limiter.record_failure()
    _assert_held(limiter.acquire(), "circuit", 0.2, began)
    _wait_until_it_may_go(limiter)
    limiter.record_failure()
    assert limiter.acquire().wait_s <= 0.2  # the longest


def test_a_probe_that_is_given_back_goes_to_the_next(make_limiter, quick_circuit):
    limiter = make_limiter()
    for _ in range(5):
        limiter.record_failure()
    _wait_until_it_may_go(limiter)
    limiter.give_back()
    assert make_limiter().acquire().wait_s == 0


def test_while_redis_is_down_only_a_process_own_429s_hold_its_posts(free_port):
    limiter = RateLimiter(Store(f"redis://127.0.0.1:{free_port()}/0", ["f"]), requests_per_minute=1)
    assert [limiter.acquire().wait_s for _ in range(3)] == [0, 0, 0]
    assert limiter.available(8) == (8, 0)
    limiter.record_failure()
    limiter.give_back()
    assert limiter.acquire().wait_s == 0
    limiter.record_throttled(60)
    turn = limiter.acquire()
    assert (turn.why, 50 < turn.wait_s <= 60) == ("throttled", True)
    assert limiter.available(8)[0] == 0


def test_the_limit_and_a_429_hold_while_the_memory_of_redis_is_full(own_redis_server):
    server = own_redis_server()
    client = redis.Redis.from_url(server.url)
    limiters = [RateLimiter(Store(server.url, ["f"]), requests_per_minute=2) for _ in range(2)]
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("k", "v")
    waits = [limiter.acquire().wait_s for limiter in limiters for _ in range(3)]
    assert [wait_s == 0 for wait_s in waits] == [True, True, False, False, False, False]
    limiters[0].record_throttled(300)
    assert limiters[1].acquire().why == "throttled"
    for _ in range(5):
        limiters[0].record_failure()
    assert limiters[1].status().is_circuit_open


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
    limiter = RateLimiter(Store(server.url, ["f"]), requests_per_minute=1)
    for _ in range(3):
        turn = limiter.acquire()
        assert (turn.why, turn.wait_s) == ("unkept", 1)
    limiter.record_success()
    limiter.record_throttled(0.001)
    limiter.give_back()
    allow()
    _wait_until_it_may_go(limiter)
    assert limiter.acquire().wait_s > 0


def test_the_limiter_finds_the_new_primary_though_the_old_one_answers(failover):
    limiter = RateLimiter(Store(failover.url, ["f"]), requests_per_minute=1)
    limiter.acquire()
    failover.demote()
    assert limiter.acquire().why == "unkept"
    failover.lead_to_the_new()
    assert limiter.acquire().wait_s == 0
    assert limiter.acquire().why == "rate"
    assert failover.new.keys("tw:genesys:*window")


def test_nothing_of_the_limiter_stays_in_redis_for_ever(make_limiter, redis_server):
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    others = set(client.scan_iter("tw:genesys:*gate*"))
    limiter = make_limiter()
    limiter.acquire()
    limiter.record_failure()
    keys = set(client.scan_iter("tw:genesys:*gate*")) - others
    assert {key.rpartition("}:")[2] for key in keys} == {"gate", "gate:window"}
    assert all(0 < client.ttl(key) <= 722 for key in keys)


def test_a_redis_that_forgot_the_connection_still_limits(redis_server):
    proxy = Proxy("127.0.0.1", redis_server.port)

    def attempt():
        store = Store(f"redis://127.0.0.1:{proxy.port}/0", [uuid.uuid4().hex])
        limiter = RateLimiter(store, requests_per_minute=1)
        assert limiter.acquire().wait_s == 0
        proxy.forget()
        # without Redis, also where it stalls for longer than a second, everything may go
        return True if limiter.acquire().wait_s > 0 else None

    until_unstalled(attempt)
    proxy.close()
