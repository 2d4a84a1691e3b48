"""A run is answered although a worker, Redis, Postgres or Genesys dies meanwhile."""

import json
import time
from contextlib import contextmanager

import pytest

from ops.dev.stack import WORKER, Stack, is_up
from tests.chaos.faults import children_of
from tests.proxy import Proxy
from tests.service import Service
from tests.timing import until_unstalled

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
FIRST = [{"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"}]


@pytest.fixture(scope="module")
def service(tmp_path_factory, tools_with_hold):
    """A stack with the default times and a Postgres of its own; each test repairs what it broke."""
    with Stack(tmp_path_factory.mktemp("outages"), tools_dir=tools_with_hold) as stack:
        yield Service(stack)


@pytest.fixture
def r(service):
    """A new run id; afterwards, a worker is there and Genesys is well."""
    yield service.new_run_id()
    service.calm()
    if not service.stack.worker_pids:
        service.stack.start_worker()


@contextmanager
def _away(server):
    server.stop()
    try:
        yield
    finally:
        server.start()


def test_a_child_that_is_killed_while_querying_does_not_cost_the_answer(service, r):
    calls = ("slow", "gate", "{}"), ("good", "search_inventory", GOOD)
    with service.closed_gate():
        key = service.deliver(r, *calls).body["key"]
        service.kill(service.owner_pid(key, 0))
    outputs = service.answer(r)
    assert outputs["slow"] == {"items": [{"state": "passed"}], "total": 1}
    assert outputs["good"]["items"][:1] == FIRST
    assert len(service.submissions(r)) == 1


def test_a_worker_host_that_dies_while_querying_is_made_up_for_in_15_s(service, r):
    service.stack.start_worker()  # beside the first, however long it takes to start
    with service.closed_gate():
        key = service.deliver(r, ("slow", "gate", "{}")).body["key"]
        owner = service.owner_pid(key, 0)
        (worker,) = [pid for pid in service.stack.worker_pids if owner in children_of(pid)]
        service.kill(worker)
    assert service.answer(r, within_s=15)["slow"]["total"] == 1


def test_a_worker_that_dies_while_posting_is_made_up_for_in_25_s_with_the_same_bytes(service, r):
    service.inject(submit=[{"status": 200, "delay_s": 9}])
    service.deliver(r, ("good", "search_inventory", GOOD))
    service.wait_for(lambda: service.submissions(r))
    service.kill(service.stack.worker_pids[0])
    service.wait_for(lambda: len(service.submissions(r)) == 2, within_s=25)
    first, second = service.submissions(r)
    assert first["sha256"] == second["sha256"]
    assert first["headers"]["Idempotency-Key"] == second["headers"]["Idempotency-Key"]


def test_a_call_that_kills_three_workers_is_given_up_and_its_siblings_are_answered(service, r):
    key = service.deliver(
        r, ("bad", "hold", '{"seconds": 5}'), ("good", "search_inventory", GOOD)
    ).body["key"]
    killed = set()
    for _ in range(3):
        pid = service.wait_for(lambda: (p := service.owner_pid(key, 0)) not in killed and p)
        service.kill(pid)
        killed.add(pid)
    outputs = service.answer(r, within_s=30)
    assert outputs["bad"]["code"] == "internal_error"
    assert outputs["good"]["items"][:1] == FIRST
    assert service.entry(key)["tries:0"] == "3"


def _cut_all_connections(service):
    """Cut each connection to the broker; then wait until the worker consumes messages again."""
    client = service.broker()
    newest = max(int(one["id"]) for one in client.client_list())
    client.client_kill_filter(_type="normal", skipme=True)
    service.wait_for(
        lambda: any(
            one["cmd"] == "brpop" and int(one["id"]) > newest for one in client.client_list()
        )
    )


def test_a_call_whose_worker_loses_the_broker_four_times_and_lives_is_answered(service, r):
    key = service.deliver(r, ("slow", "hold", '{"seconds": 4}')).body["key"]
    service.owner_pid(key, 0)
    for _ in range(4):
        _cut_all_connections(service)
    assert service.answer(r)["slow"] == {"items": [{"state": "slept"}], "total": 1}
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    assert service.entry(key)["tries:0"] == "1"


def test_a_ledger_that_is_down_is_503_within_a_second_and_the_retry_is_a_new_run(service, r):
    def attempt():
        with _away(service.stack.ledger):
            began = time.monotonic()
            assert service.deliver(r, ("good", "search_inventory", GOOD)).status == 503
            took_s = time.monotonic() - began
        service.wait_for(lambda: is_up(f"{service.stack.webhook_url}/readyz"))
        return True if took_s < 1 else None

    until_unstalled(attempt)
    answer = service.wait_for(
        lambda: (a := service.deliver(r, ("good", "search_inventory", GOOD))).status == 202 and a
    )
    assert "duplicate" not in answer.body
    service.answer(r, within_s=30)
    assert len(service.submissions(r)) == 1


@contextmanager
def _worker_behind(proxy, service):
    """One more worker, which reaches the ledger through *proxy*."""
    env = {
        "LEDGER_URL": f"redis://127.0.0.1:{proxy.port}/0",
        "PROMETHEUS_MULTIPROC_DIR": str(service.stack.logs),
    }
    options = ["-c", "2", "-n", "proxied@%h"]
    worker = service.stack.launch("worker-proxied", *WORKER, *options, env=env)
    worker.wait_until(lambda: worker.has_logged(" ready."), timeout_s=90)
    try:
        yield worker
    finally:
        worker.stop()


def test_a_worker_whose_ledger_forgets_its_connections_while_calls_run_has_them_answered(service):
    proxy = Proxy("127.0.0.1", service.stack.ledger.port)
    with _worker_behind(proxy, service) as worker:
        run_ids = [service.new_run_id() for _ in range(2 * len(service.stack.worker_pids))]
        with service.closed_gate():
            keys = [service.deliver(run_id, ("c", "gate", "{}")).body["key"] for run_id in run_ids]
            owners = {service.owner_pid(key, 0) for key in keys}  # each process has one
            assert owners & set(children_of(worker.pid))
            proxy.forget()
        for run_id, key in zip(run_ids, keys, strict=True):
            assert service.answer(run_id)["c"] == {"items": [{"state": "passed"}], "total": 1}
            service.wait_for(lambda key=key: service.entry(key)["state"] == "submitted")
            assert len(service.submissions(run_id)) == 1
    proxy.close()


def test_an_outage_of_postgres_is_outlived_while_there_is_time(service, r):
    with _away(service.stack.postgres):
        key = service.deliver(r, ("good", "search_inventory", GOOD)).body["key"]
        # fanned out anew twice
        service.wait_for(lambda: int(service.entry(key).get("round", 0)) >= 3)
    assert service.answer(r, within_s=25)["good"]["items"][:1] == FIRST


def test_an_operator_sees_the_timeline_and_none_of_the_data(service, r):
    key = service.deliver(r, ("good", "search_inventory", GOOD)).body["key"]
    service.wait_for(lambda: service.entry(key).get("state") == "submitted")
    for text in (
        service.toolworker("runs", "show", r),
        service.toolworker("runs", "show", key, "-o", "json"),
    ):
        assert "search_inventory" in text
        assert "AB-1001" not in text
    listed = json.loads(service.toolworker("runs", "list", "-o", "json"))
    assert key in [run["key"] for run in listed]
    service.toolworker("runs", "drop", key)
    assert key not in service.toolworker("runs", "list")


def test_a_finished_run_fits_in_the_compact_form_of_redis(service, r):
    calls = [(f"c{i}", "search_inventory", GOOD) for i in range(3)]
    key = service.deliver(r, *calls).body["key"]
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    assert service.ledger().object("encoding", f"tw:run:{key}") == "listpack"
    assert service.ledger().memory_usage(f"tw:run:{key}") < 1400
