"""Ten faults of a running service: from the run id to the cause in two clicks and 10 s."""

import signal
import time

import psycopg
import pytest

from ops.dev.stack import Stack, is_up
from tests.dashboard.browser import chromium, opened
from tests.dashboard.conftest import PASSWORD
from tests.service import Service

pytestmark = pytest.mark.browser

GOOD = ("c", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
WITHIN_S = 10.0


@pytest.fixture(scope="module")
def broken(tmp_path_factory, tools_with_hold, free_ports):
    """One stack for all faults, with a Postgres of its own, and the dashboard beside it."""
    folder = tmp_path_factory.mktemp("faults")
    with Stack(folder, workers=2, concurrency=1, tools_dir=tools_with_hold) as stack:
        port = free_ports()
        command = ("-m", "ops.cli", "dashboard", "--port", str(port))
        child = stack.launch("dashboard", *command, env={"DASHBOARD_PASSWORD": PASSWORD})
        url = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: is_up(f"{url}/livez"), timeout_s=20)
        service = Service(stack)
        service.url = url
        yield service


@pytest.fixture(scope="module")
def free_ports():
    from ops.dev.server import free_port

    return free_port


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def service(broken):
    yield broken
    broken.inject(submit=[], token=[])
    broken.forget_genesys()


@pytest.fixture
def cause(browser, service, request, rows):
    """From the list and a run id to a page whose reason has all of some texts."""

    def find(run_id, *texts, click=None, where="#cause"):
        with opened(browser, password=PASSWORD) as page:
            page.goto(f"{service.url}/runs")
            began, clicks = time.monotonic(), 1
            page.fill("#q", run_id)
            page.click("text=Find")
            if click is not None:
                page.click(click)
                clicks += 1
            for text in texts:
                page.wait_for_selector(f"{where}:has-text('{text}')", timeout=WITHIN_S * 1000)
            took_s = time.monotonic() - began
            shown = " ".join(page.inner_text(where).split())
        name = request.node.name.removeprefix("test_")
        rows.append(f"{name:<20} {clicks} clicks {took_s:5.1f} s  {shown[:100]}")
        assert clicks <= 2
        assert took_s <= WITHIN_S
        return shown

    return find


def deliver(service, *calls):
    run_id = service.new_run_id()
    assert service.deliver(run_id, *(calls or (GOOD,))).status == 202
    return run_id


def test_a_locked_table(service, cause):
    with psycopg.connect(service.stack.postgres.url) as blocker:
        blocker.execute("LOCK TABLE inventory IN ACCESS EXCLUSIVE MODE")
        run_id = deliver(service)
        cause(run_id, "WAITING_ON_DATABASE", f"backend {blocker.info.backend_pid}")
    service.answer(run_id)


def test_a_slow_tool(service, cause):
    run_id = deliver(service, ("slow", "hold", '{"seconds": 5}'))
    cause(run_id, "RUNNING", "call 0 (hold)")
    service.answer(run_id)


# before those whose runs are retried, and would meet this fault
def test_a_dead_letter(service, cause):
    service.inject(submit=[404])
    cause(deliver(service), "DEAD", "Genesys refused it for good")


def test_a_429(service, cause):
    service.inject(submit=[{"status": 429, "retry_after": 30}])
    cause(deliver(service), "RATE_LIMITED", "Genesys answered 429")


def test_an_open_circuit(service, cause):
    service.inject(submit=[503] * 1000)
    run_ids = [deliver(service) for _ in range(6)]
    cause(run_ids[0], "CIRCUIT_OPEN", "Genesys is down")


def test_a_refused_token(service, cause):
    service.inject(token=[{"status": 400, "code": "invalid_client"}] * 50)
    service.forget_genesys()
    # a process goes on with its token for a second; what is sent with that is done
    ends_at = time.monotonic() + 10
    run_id = deliver(service)
    while not _is_dead(service, run_id) and time.monotonic() < ends_at:
        run_id = deliver(service)
        time.sleep(0.5)
    cause(run_id, "DEAD", "Verify client_id and client_secret")


def _is_dead(service, run_id):
    for name in service.ledger().scan_iter("tw:run:*"):
        found = service.ledger().hmget(name, "run_id", "state")
        if found == [run_id, "dead"]:
            return True
    return False


def test_a_dropped_column(service, cause):
    with psycopg.connect(service.stack.postgres.url, autocommit=True) as owner:
        owner.execute("ALTER TABLE inventory RENAME COLUMN quantity TO was_quantity")
        try:
            run_id = deliver(service)
            service.answer(run_id)
            texts = ("NOT WELL", "quantity")
            cause(run_id, *texts, click="#cause >> text=What is wrong with search_inventory")
        finally:
            owner.execute("ALTER TABLE inventory RENAME COLUMN was_quantity TO quantity")


def test_a_full_ledger(service, cause):
    ledger = service.ledger()
    before = ledger.config_get("maxmemory")["maxmemory"]
    ledger.config_set("maxmemory", "1")
    try:
        run_id = service.new_run_id()
        assert service.deliver(run_id, GOOD).status == 503
        cause(run_id, "takes no new runs", where=".cause")
        cause(run_id, "memory is full", click="text=Fleet")
    finally:
        ledger.config_set("maxmemory", before)


def test_a_lost_message(service, cause):
    for child in (*service.stack.children("reconciler"), *service.stack.children("worker")):
        child.stop(signal.SIGKILL)
    run_id = deliver(service)
    for queue in service.wait_for(service.queues):
        service.broker().delete(queue)
    service.stack.start_worker()
    cause(run_id, "QUEUED", "its own was lost", "no reconciler is running")
    service.stack.start_reconciler()
    service.answer(run_id)


def test_no_worker(service, cause):
    for worker in service.stack.children("worker"):
        worker.stop(signal.SIGKILL)
    run_id = deliver(service)
    cause(run_id, "NO_WORKER", "docker compose up -d worker")
    service.stack.start_worker()
    service.answer(run_id, within_s=25)
