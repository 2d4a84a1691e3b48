"""A model that names a victim wherever it can write gets no row of another customer."""

import psycopg
import pytest

from tests.bind_attack import SCHEMA, attack, write_tools
from tests.pgbouncer import PROGRAM, start_pgbouncer

DELIVERIES = 250


@pytest.fixture
def attacked(postgres_server, redis_server, tmp_path, free_port):
    """Attack a database of the test's own, through PgBouncer if it is there."""

    def run(schema_changes="", **options):
        write_tools(tmp_path / "tools")
        with psycopg.connect(postgres_server.url, autocommit=True) as admin:
            admin.execute("DROP ROLE IF EXISTS attacked")
            admin.execute("CREATE DATABASE attack")
        admin_url = postgres_server.url.rpartition("/")[0] + "/attack"
        try:
            with psycopg.connect(admin_url) as admin:
                admin.execute(SCHEMA + schema_changes)
            url = admin_url.replace("postgres@", "attacked:attacked@", 1)
            where = [tmp_path, admin_url]
            if PROGRAM is None:
                return attack(*where, url, redis_server.url, seed=1, **options)
            with start_pgbouncer(url, port=free_port(), mode="transaction") as pooled:
                return attack(*where, pooled, redis_server.url, seed=1, **options)
        finally:
            with psycopg.connect(postgres_server.url, autocommit=True) as admin:
                admin.execute("DROP DATABASE attack WITH (FORCE)")
                admin.execute("DROP ROLE IF EXISTS attacked")

    return run


def test_no_row_of_a_victim_is_seen_and_ones_own_are(attacked):
    done, seen = attacked(deliveries=DELIVERIES, kills=1)
    assert done == DELIVERIES
    assert seen["foreign rows"] == 0
    # each of these was met, so none of them opens a way
    for met in ("own rows", "ok", "forbidden", "invalid_arguments", "query_failed", "timeout"):
        assert seen[met] > 0, seen


def test_the_attack_sees_rows_of_victims_where_no_policy_is(attacked):
    off = "ALTER TABLE canary DISABLE ROW LEVEL SECURITY;"
    _, seen = attacked(off, deliveries=20, kills=0)
    assert seen["foreign rows"] > 0
