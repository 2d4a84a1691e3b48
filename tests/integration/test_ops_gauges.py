"""The reconciler's gauges: memory and disk of both Redis; a server that hangs delays no page."""

import os
import shutil
import signal
import time
from types import SimpleNamespace

import pytest
import redis

import ledger
from genesys import client as genesys
from genesys.pacing.rate_limiter import RateLimiter
from genesys.store import Store
from ledger.admin import RunStore
from ops.commands.gauges import FleetGauges
from runtime.settings import Secret, Settings

CALL = {"id": "a", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}


@pytest.fixture
def servers(own_redis_server):
    return {"ledger": own_redis_server(), "broker": own_redis_server()}


@pytest.fixture
def values(servers, tmp_path):
    return Settings(
        ledger_url=Secret(servers["ledger"].url),
        redis_url=Secret(servers["broker"].url),
        genesys_base_url="http://127.0.0.1:1",
        genesys_login_url="http://127.0.0.1:1",
        genesys_allow_http=True,
        genesys_client_id="id",
        genesys_client_secret=Secret("secret"),
        ledger_disk=tmp_path,
        broker_disk=tmp_path / "not there",
    )


@pytest.fixture
def gauges(values):
    reconciler = SimpleNamespace(looked_at=time.monotonic())
    return FleetGauges(values, genesys.from_settings(values), reconciler)


def test_memory_is_shown_by_its_limit_and_only_where_there_is_one(servers, gauges):
    client = redis.Redis.from_url(servers["ledger"].url)
    client.config_set("maxmemory", client.info("memory")["used_memory"] * 2)
    ratios = gauges()["redis_memory_ratio"]
    assert list(ratios) == [("ledger",)]
    assert 0.3 < ratios["ledger",] < 0.9
    client.config_set("maxmemory", 1)
    assert gauges()["redis_memory_ratio"]["ledger",] > 1


def test_a_server_that_is_down_is_0_and_the_other_1(servers, gauges):
    servers["ledger"].stop()
    found = gauges()
    assert found["redis_up"] == {("ledger",): 0.0, ("broker",): 1.0}
    assert "open_runs" not in found
    assert found["last_look_seconds"] >= 0
    servers["ledger"].start()
    assert gauges()["redis_up"] == {("ledger",): 1.0, ("broker",): 1.0}


def test_a_server_that_hangs_delays_no_page_for_long_and_is_0(servers, gauges):
    os.kill(servers["broker"].pid, signal.SIGSTOP)
    try:
        assert gauges()["redis_up"] == {("ledger",): 1.0, ("broker",): 0.0}
    finally:
        os.kill(servers["broker"].pid, signal.SIGCONT)


def test_a_snapshot_that_could_not_be_written_shows(servers, gauges, tmp_path):
    client = redis.Redis.from_url(servers["broker"].url)
    assert gauges()["redis_disk_ok"] == {("ledger",): 1.0, ("broker",): 1.0}
    shutil.rmtree(tmp_path / "redis-1")  # its folder
    client.bgsave()
    deadline = time.monotonic() + 60
    while client.info("persistence")["rdb_bgsave_in_progress"]:
        assert time.monotonic() < deadline
    assert gauges()["redis_disk_ok"] == {("ledger",): 1.0, ("broker",): 0.0}


def test_free_disk_is_shown_of_folders_that_are_there(gauges):
    found = gauges()["redis_disk_free_ratio"]
    assert list(found) == [("ledger",)]
    assert 0 < found["ledger",] <= 1


def test_what_is_left_of_genesys_limit_is_shown_once_genesys_has_said_so(servers, gauges):
    assert "genesys_rate_limit_remaining" not in gauges()
    names = ["http://127.0.0.1:1", "id", Settings().genesys_scope]
    store = Store(servers["broker"].url, names)
    RateLimiter(store, requests_per_minute=300).record_remaining(0)
    found = gauges()
    assert (found["genesys_rate_limit_remaining"], found["circuit_open"]) == (0, 0)


def test_the_oldest_run_that_no_worker_has_begun_is_shown_by_its_age(values, gauges):
    store = ledger.from_settings(values, timeout_s=5, retries=0)
    assert gauges()["oldest_waiting_run_seconds"] == 0
    key = store.accept("r", [CALL]).key
    client = store.client
    client.zadd("tw:waiting", {key: client.time()[0] * 1000 - 7_000})
    assert 7 <= gauges()["oldest_waiting_run_seconds"] < 60
    store.begin(key, 0)
    assert gauges()["oldest_waiting_run_seconds"] == 0
    assert RunStore(store).counts().open_runs == 1
