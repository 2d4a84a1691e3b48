"""An idle Postgres connection that died without notice costs a retry, and the call is answered."""

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest

from db.catalog import Tool
from db.connection import connect_options
from db.errors import ToolError, Unavailable
from db.pool import Databases
from db.transaction import HANG_MARGIN_S
from tasks.query import answer
from tests.proxy import Proxy
from tests.timing import until_unstalled
from tests.tool import TOOL

_SLEEPING = """
SELECT pid FROM pg_stat_activity
WHERE query LIKE 'FETCH%' AND wait_event = 'PgSleep'
"""


@pytest.fixture
def proxy(postgres_server):
    url = urlsplit(postgres_server.url)
    found = Proxy(url.hostname, url.port)
    yield found
    found.close()


@pytest.fixture
def databases(postgres_server, proxy):
    port = urlsplit(postgres_server.url).port
    found = Databases({"default": postgres_server.url.replace(f":{port}", f":{proxy.port}")})
    found.open()
    yield found
    found.close()


def _fill(databases):
    """Have all connections of the pool made, and lie idle."""
    sleep = Tool(**{**vars(TOOL), "statement": "SELECT 1 AS one FROM pg_sleep(0.3)"})
    threads = [
        threading.Thread(target=databases.query, args=(sleep, {}), kwargs={"timeout_ms": 5000})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_call_over_connections_that_lead_nowhere_is_answered_all_the_same(databases, proxy):
    _fill(databases)
    proxy.forget()
    output = answer(databases, TOOL, {}, left_ms=20_000)
    assert json.loads(output) == {"items": [{"one": 1}], "total": 1}


def test_silence_is_an_outage_and_no_slow_query(databases, proxy):
    _fill(databases)
    proxy.forget()
    with pytest.raises(Unavailable, match="silent"):
        databases.query(TOOL, {}, timeout_ms=5000)


def test_a_slow_query_is_no_silence(databases):
    slow = Tool(**{**vars(TOOL), "statement": "SELECT 1 AS one FROM pg_sleep(2)"})
    began = time.monotonic()
    assert json.loads(databases.query(slow, {}, timeout_ms=5000))["total"] == 1
    assert time.monotonic() - began >= 2


def test_a_server_that_hangs_is_left_after_the_margin_that_the_caller_gives(
    postgres_server, databases
):
    slow = Tool(**{**vars(TOOL), "statement": "SELECT 1 AS one FROM pg_sleep(30)"})
    with (
        psycopg.connect(postgres_server.url, autocommit=True) as own,
        ThreadPoolExecutor(1) as callers,
    ):

        def attempt():
            began = time.monotonic()
            call = callers.submit(databases.query, slow, {}, timeout_ms=2000, hang_margin_s=0.1)
            while (pid := own.execute(_SLEEPING).fetchone()) is None:
                if call.done():  # before it could be stopped
                    return None
            os.kill(pid[0], signal.SIGSTOP)
            try:
                with pytest.raises(ToolError, match="too long"):
                    call.result()
                took_s = time.monotonic() - began
            finally:
                os.kill(pid[0], signal.SIGCONT)
            assert took_s >= 2
            return True if took_s < 2 + HANG_MARGIN_S else None

        until_unstalled(attempt)


def test_the_kernel_gives_up_a_connection_whose_bytes_are_not_acknowledged(reader_url):
    with (
        psycopg.connect(reader_url, **connect_options(reader_url, "default")) as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as own,
    ):
        settings = [
            own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        ]
    assert settings == [1, 30, 5, 3, 2_000]
