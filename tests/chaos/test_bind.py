"""10,000 deliveries that each name a victim, with everything broken meanwhile: no foreign row."""

import os
import signal
import threading

import psycopg
import pytest

from ops.dev import embedded
from tests.bind_attack import SCHEMA, attack, write_tools
from tests.pgbouncer import needs_pgbouncer, start_pgbouncer

DELIVERIES = 10_000
KILLS = 12
CRASHES = 3
"""Of Postgres: one of its own processes is killed, and it starts all of them anew."""


@needs_pgbouncer
@pytest.mark.chaos
def test_no_delivery_of_ten_thousand_sees_a_row_of_its_victim(
    tmp_path, redis_server, free_port, request
):
    seed = request.config.getoption("--chaos-seed")
    write_tools(tmp_path / "tools")
    with embedded.start_postgres(tmp_path / "postgres") as server:
        with psycopg.connect(server.url) as admin:
            admin.execute(SCHEMA)
        own_role = server.url.replace("postgres@", "attacked:attacked@", 1)
        ended = threading.Event()
        crashes = threading.Thread(target=_crash, args=(server.url, ended))
        with start_pgbouncer(own_role, port=free_port(), mode="transaction") as pooled:
            crashes.start()
            try:
                done, seen = attack(
                    tmp_path,
                    server.url,
                    pooled,
                    redis_server.url,
                    deliveries=DELIVERIES,
                    kills=KILLS,
                    seed=seed,
                )
            finally:
                ended.set()
                crashes.join()
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    terminal.write_line(f"\n{done} deliveries, calls and rows by how they ended: {dict(seen)}")
    assert (done, seen["foreign rows"]) == (DELIVERIES, 0)
    for met in ("own rows", "forbidden", "query_failed", "timeout", "invalid_arguments"):
        assert seen[met] > 100, seen


def _crash(url, ended):
    """Kill a server process of the attack's own session, a few times, with SIGKILL."""
    for _ in range(CRASHES):
        if ended.wait(8):
            return
        try:
            with psycopg.connect(url, autocommit=True) as admin:
                row = admin.execute(
                    "SELECT pid FROM pg_stat_activity WHERE usename = 'attacked' LIMIT 1"
                ).fetchone()
            if row:
                os.kill(row[0], signal.SIGKILL)
        except psycopg.Error:
            continue
