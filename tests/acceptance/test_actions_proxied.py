"""Data actions through nginx: JSON whatever happens, and no reset of a connection that lay idle."""

import http.client
import os
import shutil
import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.action_proxy import NGINX, running_proxy
from tests.endpoint import CERTIFICATE, SECRET, running_endpoint
from tests.receiver import wait_for
from tests.timing import until_unstalled

pytestmark = pytest.mark.skipif(shutil.which(NGINX) is None, reason="needs nginx")

STOCK = {"sku": "AB-1001", "warehouse": "US-WEST"}
KEY = {"X-API-Key": SECRET}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory, reader_url, tools_with_hold):
    folder = tmp_path_factory.mktemp("actions")
    with running_endpoint(folder, reader_url, tools_with_hold, ACTIONS_AT_ONCE="8") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, endpoint):
    with running_proxy(tmp_path_factory.mktemp("nginx"), endpoint) as proxy:
        yield proxy


def test_answers_and_refusals_pass_through(proxy):
    assert proxy.call("search_inventory", STOCK)[1]["total"] == 2
    assert proxy.call("search_inventory", {})[0] == 400
    assert proxy.call("nope", {})[1]["code"] == "unknown_tool"
    assert proxy.request("GET", "/genesys/actions/nope", None, KEY)[0] == 405
    assert proxy.call("nope", {}, Authorization="Bearer x")[0] == 401


def test_what_nginx_refuses_by_itself_is_json_too(proxy):
    status, answer, headers = proxy.request("POST", "/genesys/actions/x", b" " * 100_001, KEY)
    assert (status, answer["code"], headers["Content-Type"]) == (
        413, "too_large", "application/json"
    )  # fmt: skip
    long = "/genesys/actions/x?" + "x" * 9_000
    assert set(proxy.request("POST", long, b"{}", KEY)[1]) == {"error"}


def test_without_the_endpoint_it_is_503_in_json(tmp_path, reader_url):
    with (
        running_endpoint(tmp_path / "a", reader_url) as endpoint,
        running_proxy(tmp_path, endpoint) as proxy,
    ):
        endpoint.master.stop()
        status, answer, headers = proxy.request("POST", "/genesys/actions/x", b"{}", KEY)
    assert (status, answer["code"], answer["retryable"]) == (503, "unavailable", True)
    assert (headers["Content-Type"], headers["Retry-After"]) == ("application/json", "5")


def test_a_connection_that_lay_idle_is_used_again(proxy):
    context = ssl.create_default_context(cafile=CERTIFICATE)
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=30, context=context)
    connection.auto_open = 0
    connection.connect()
    body = b'{"order_number": "SO-100042"}'
    # the longest that fits here; `make bench-actions` takes 5 to 70 s
    for idle_s in (0, 3, 5):
        time.sleep(idle_s)  # being idle is what is tested
        connection.request("POST", "/genesys/actions/get_order", body, KEY)
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()


def test_a_call_whose_process_is_killed_is_still_answered_before_its_timeout(
    proxy, endpoint, postgres_server
):
    headers = {**KEY, "X-Action-Timeout": "6"}
    with (
        ThreadPoolExecutor(4) as callers,
        psycopg.connect(postgres_server.url, autocommit=True) as own,
    ):

        def running():
            return own.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH%'"
                " AND state = 'active'"
            ).fetchone()[0]  # fmt: skip

        def attempt():
            began, call = time.monotonic(), (proxy.call, "hold", {"seconds": 30})
            calls = [callers.submit(*call, **headers) for _ in range(4)]
            while (found := running()) < 4 and not any(call.done() for call in calls):
                time.sleep(0.01)
            os.kill(endpoint.worker_pid(), signal.SIGKILL)
            answers = [call.result() for call in calls]
            took_s = time.monotonic() - began
            assert [(status, answer["retryable"]) for status, answer in answers] == [
                (503, True)
            ] * 4
            wait_for(lambda: not running(), within_s=20)  # and not in 30 s
            # where one was answered before all four ran, or a machine stalled, once more
            return True if found == 4 and took_s < 6 else None

        until_unstalled(attempt)


def test_a_sender_that_stops_in_the_middle_holds_no_thread(proxy):
    stuck = []
    for _ in range(20):  # more than the endpoint has threads
        raw = socket.create_connection(("127.0.0.1", proxy.port))
        context = ssl.create_default_context(cafile=CERTIFICATE)
        wrapped = context.wrap_socket(raw, server_hostname="127.0.0.1")
        wrapped.sendall(
            b"POST /genesys/actions/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
        )
        stuck.append(wrapped)
    assert proxy.call("search_inventory", STOCK)[0] == 200
    for connection in stuck:
        connection.close()
