"""The fleet's one token: real Redis, a simulated Genesys, many threads and processes."""

import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import requests

from genesys.auth.token_request import TokenRequest
from genesys.auth.tokens import FleetTokens
from genesys.client import Client
from genesys.errors import GenesysUnavailable, Rejected
from genesys.store import Store
from tests.timing import in_time

SECRET = "demo-secret"
PATH = "/api/v2/ai/assistants/runs/{run_id}/tool_calls"
BODY = b'{"tool_calls":[{"tool_call_id":"c","output":"{}"}]}'


@pytest.fixture
def worker(patient_store, redis_server, simulator):
    """Make the tokens of one more worker of the same, new fleet."""
    fleet = uuid.uuid4().hex

    def start(secret=SECRET, url=redis_server.url):
        return FleetTokens(Store(url, [fleet]), TokenRequest(simulator, "demo-client", secret, "s"))

    return start


@pytest.fixture
def keys(redis_server):
    """Each key of the fleets with what it holds, as a reader of that Redis sees it."""
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    client.flushdb()
    return lambda: {k: client.ttl(k) for k in client.scan_iter("tw:genesys:*")}


def _limit(url, **limits):
    requests.put(f"{url}/_sim/limits", json=limits, timeout=30).raise_for_status()


def _faults(url, *entries):
    requests.put(f"{url}/_sim/faults", json={"token": entries}, timeout=30).raise_for_status()


def _token_requests(url):
    return requests.get(f"{url}/_sim/tokens", timeout=30).json()["requests"]


def _wait_for_token_requests(url, count):
    deadline = time.monotonic() + 60
    while _token_requests(url) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_fifty_threads_of_fifty_workers_request_one_token(simulator, worker):
    with ThreadPoolExecutor(50) as threads:
        found = list(threads.map(lambda w: w.token(), [worker() for _ in range(50)]))
    assert len(set(found)) == 1
    assert _token_requests(simulator) == 1


def test_processes_share_one_token(simulator, redis_server):
    program = (
        "import sys\n"
        "from genesys.auth.tokens import FleetTokens\n"
        "from genesys.auth.token_request import TokenRequest\n"
        "from genesys.store import Store\n"
        "from runtime import logs\n"
        "logs.configure()\n"
        "request = TokenRequest(sys.argv[1], 'demo-client', 'demo-secret', 's')\n"
        "print(FleetTokens(Store(sys.argv[2], [sys.argv[3]]), request).token())\n"
    )
    command = [sys.executable, "-c", program, simulator, redis_server.url, uuid.uuid4().hex]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate(timeout=120)[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0, 0, 0]
    assert _token_requests(simulator) == 1


def test_a_token_that_ends_soon_is_renewed_by_one_while_the_others_use_it(simulator, worker):
    _limit(simulator, token_lifetime_s=2)
    first, others = worker(), [worker() for _ in range(10)]
    old = first.token()
    _faults(simulator, {"status": 200, "delay_s": 0.3})
    deadline = time.monotonic() + 60
    seen = set()
    with ThreadPoolExecutor(11) as threads:
        while len(seen) < 2 and time.monotonic() < deadline:
            found = list(threads.map(lambda w: w.token(), [first, *others]))
            seen.update(found)
    assert seen >= {old}
    assert _token_requests(simulator) == 2


def test_only_the_token_that_was_refused_is_forgotten_and_by_the_whole_fleet(simulator, worker):
    one, other = worker(), worker()
    first = one.token()
    other.invalidate("another")
    assert other.token() == first
    other.invalidate(first)
    second = one.token()
    one.invalidate(first)
    assert other.token() == second != first
    assert _token_requests(simulator) == 2


def test_a_busy_worker_reads_redis_once_a_second(simulator, worker, monkeypatch):
    tokens, asked = worker(), []
    run = tokens._store.run
    monkeypatch.setattr(
        tokens._store,
        "run",
        lambda step, *rest, **more: asked.append(step) or run(step, *rest, **more),
    )
    text = tokens.token()  # the first, which it gets from Genesys
    assert {tokens.token() for _ in range(20)} == {text}
    # the last one's second may end meanwhile on a machine that is very busy
    assert asked[:3] == ["token_take", "token_put", "token_take"]
    assert len(asked) <= 5
    del asked[:]
    monkeypatch.setattr("genesys.auth.tokens.KEEP_S", 0.0)
    tokens.invalidate(text)
    assert tokens.token() != text
    assert len({tokens.token() for _ in range(3)}) == 1
    assert asked.count("token_take") == 4


def test_no_token_is_kept_beyond_the_moment_when_it_is_to_be_renewed(
    simulator, worker, monkeypatch
):
    tokens = worker()
    answers = [["good", "a", 0], ["good", "b", 60_000], ["good", "c", 60_000]]
    monkeypatch.setattr(tokens._store, "run", lambda *_, **__: answers.pop(0))
    assert [tokens.token() for _ in range(4)] == ["a", "b", "b", "b"]
    tokens.invalidate("another")
    assert tokens.token() == "b"


def test_a_refused_token_that_another_thread_brings_from_redis_is_not_kept(worker, monkeypatch):
    tokens = worker()
    answers = [["good", "old", 60_000], ["good", "old", 60_000], ["good", "new", 60_000]]

    def run(step, *_, **__):
        if step == "token_take":
            return answers.pop(0)
        assert tokens.token() == "old"  # asked by another thread, before Redis forgets it
        return 1

    monkeypatch.setattr(tokens._store, "run", run)
    assert tokens.token() == "old"
    tokens.invalidate("old")
    assert tokens.token() == "new"


def test_fifty_refused_posts_cost_one_fresh_token(simulator, worker):
    clients = [Client(simulator + PATH, worker(), list_key="tool_calls") for _ in range(50)]
    clients[0].post("r", BODY, idempotency_key="k")
    requests.delete(f"{simulator}/_sim/state", timeout=30)  # the token is unknown there now
    with ThreadPoolExecutor(50) as threads:
        given = {"idempotency_key": "k", "timeout_s": 60.0}
        posts = [threads.submit(c.post, "r", BODY, **given) for c in clients]
        assert {post.result().status for post in posts} == {200}
    assert _token_requests(simulator) == 1
    sent = requests.get(f"{simulator}/_sim/submissions", timeout=30).json()
    assert [s["status"] for s in sent].count(200) == 50
    assert all("Authorization" in s["headers"] for s in sent)


def test_wrong_credentials_are_tried_once_a_minute_by_the_fleet(simulator, worker, keys):
    for _ in range(5):
        with pytest.raises(Rejected) as failed:
            worker("planted-secret").token()
        said = str(failed.value)
        assert said.startswith("OAuth authentication failed. Verify client_id and client_secret.")
        assert "GENESYS_REGION" in said
        assert (failed.value.status, failed.value.code) == (400, "invalid_client")
        assert failed.value.correlation_id
        assert "planted" not in f"{failed.value!r} {failed.value.__cause__!r}"
    assert _token_requests(simulator) == 1
    ((name, ttl_s),) = keys().items()
    assert name.endswith(":token:pause")
    assert 50 < ttl_s <= 60


def test_after_a_passing_failure_a_token_is_requested_again_in_time(
    simulator, worker, keys, redis_server
):
    _faults(simulator, {"status": 429, "retry_after": 40})
    for _ in range(5):
        with pytest.raises(GenesysUnavailable) as failed:
            worker().token()
        assert failed.value.status == 429
        assert 0 < failed.value.retry_after_s <= 40
    assert _token_requests(simulator) == 1
    ((name, ttl_s),) = keys().items()
    assert 20 < ttl_s <= 40
    redis.Redis.from_url(redis_server.url).pexpire(name, 1)  # as 40 s do
    assert _wait_for_token(worker())
    assert _token_requests(simulator) == 2


def test_a_token_that_is_still_good_outlives_an_outage_of_the_token_endpoint(
    simulator, worker, keys, redis_server
):
    _limit(simulator, token_lifetime_s=500)
    old = worker().token()
    (name,) = keys()
    client = redis.Redis.from_url(redis_server.url)
    ends_in_ms = float(client.hget(name, "ends_at")) - float(client.hget(name, "renew_at"))
    assert 90_000 < ends_in_ms < 110_000  # a fifth of its life before it ends
    _faults(simulator, *[503] * 20)
    client.hset(name, "renew_at", 0)  # as 400 s do
    assert {worker().token() for _ in range(20)} == {old}
    assert _token_requests(simulator) == 2


def test_who_waits_for_anothers_token_gets_it(simulator, worker):
    _faults(simulator, {"status": 200, "delay_s": 0.5})
    with ThreadPoolExecutor(2) as threads:
        asking = threads.submit(worker().token)
        _wait_for_token_requests(simulator, 1)
        waiting = threads.submit(worker().token)
        assert waiting.result() == asking.result()
    assert _token_requests(simulator) == 1


def test_waiting_for_anothers_token_ends_in_time(simulator, worker):
    _faults(simulator, "timeout")
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(worker().token)
        _wait_for_token_requests(simulator, 1)

        def attempt():
            with pytest.raises(GenesysUnavailable, match="in time"):
                worker().token(timeout_s=0.3)

        in_time(attempt, under_s=1)
        requests.delete(f"{simulator}/_sim/state", timeout=30)
        with pytest.raises(GenesysUnavailable):
            asking.result()


def test_a_worker_whose_right_ran_out_does_not_replace_a_newer_token(redis_server, simulator):
    fleet = uuid.uuid4().hex
    store, request = (
        Store(redis_server.url, [fleet]),
        TokenRequest(simulator, "demo-client", "x", "s"),
    )
    names = ["token", "token:lock", "token:pause"]
    assert store.run("token_take", names, owner="slow", lock_ms=1) == ["renew"]
    deadline = time.monotonic() + 60
    while (found := store.run("token_take", names, owner="fast", lock_ms=9000)) != ["renew"]:
        assert found == ["wait"]
        assert time.monotonic() < deadline
    times = {"renew_ms": 9000, "life_ms": 9000}
    assert store.run("token_put", names, owner="fast", text="newer", **times) == 1
    assert store.run("token_put", names, owner="slow", text="older", **times) == 0
    pauses = {"why": "{}", "pause_ms": 9000, "good_pause_ms": 9000}
    assert store.run("token_pause", names, owner="slow", **pauses) == 0
    assert FleetTokens(store, request).token() == "newer"


def test_without_redis_each_worker_has_its_own_token(simulator, worker, free_port):
    tokens = worker(url=f"redis://127.0.0.1:{free_port()}/0")
    first = tokens.token()
    assert tokens.token() == first
    tokens.invalidate(first)
    assert tokens.token() != first
    assert _token_requests(simulator) == 2


def test_the_fleet_has_one_token_while_the_memory_of_redis_is_full(simulator, own_redis_server):
    server = own_redis_server()
    redis.Redis.from_url(server.url).config_set("maxmemory", 1)
    request = TokenRequest(simulator, "demo-client", "demo-secret", "s")
    fleet = [FleetTokens(Store(server.url, ["f"]), request) for _ in range(3)]
    assert len({tokens.token() for tokens in fleet}) == 1
    assert _token_requests(simulator) == 1


def test_a_redis_that_refuses_the_lock_makes_no_worker_request_a_token(simulator, own_redis_server):
    server = own_redis_server()
    redis.Redis.from_url(server.url).replicaof("127.0.0.1", 1)
    request = TokenRequest(simulator, "demo-client", "demo-secret", "s")
    with pytest.raises(GenesysUnavailable, match="no lock"):
        FleetTokens(Store(server.url, ["f"]), request).token()
    assert _token_requests(simulator) == 0


def test_a_redis_that_hangs_costs_a_second_once_and_not_each_time(simulator, own_redis_server):
    server = own_redis_server()
    with redis.Redis.from_url(server.url) as client:
        client.client_pause(60_000, all=True)
    request = TokenRequest(simulator, "demo-client", "demo-secret", "s")

    def first():
        tokens = FleetTokens(Store(server.url, ["f"]), request)
        return tokens, tokens.token()

    tokens, text = in_time(first, under_s=4)

    def others():  # where 2 s are over it calls Redis once more
        assert [tokens.token() for _ in range(20)] == [text] * 20

    in_time(others, under_s=0.5)


def test_the_token_ends_in_redis_with_its_life_and_no_key_names_a_secret(simulator, worker, keys):
    _limit(simulator, token_lifetime_s=100)
    worker().token()
    ((name, ttl_s),) = keys().items()
    assert name.endswith("}:token")
    assert 90 < ttl_s <= 100
    assert "demo" not in name


def _wait_for_token(tokens):
    deadline = time.monotonic() + 60
    while True:
        try:
            return tokens.token()
        except GenesysUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
