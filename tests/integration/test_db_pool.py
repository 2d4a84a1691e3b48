"""Postgres through db.pool: read-only, one statement, in time, in bounds, every value as JSON."""

import json
import os
import signal
import threading
import time
from dataclasses import replace

import psycopg
import pytest

from db.errors import ToolError, Unavailable
from db.pool import Databases
from tests.receiver import wait_for
from tests.timing import in_time, until_unstalled
from tests.tool import TOOL


@pytest.fixture
def writer(patient_database, postgres_server):
    """The same database as a role that may write, which no deployment should use."""
    found = Databases({"default": postgres_server.url})
    found.open()
    yield found
    found.close()


def _query(databases, sql, values=None, *, timeout_ms=5000, **changes):
    tool = replace(TOOL, statement=sql, **changes)
    return json.loads(databases.query(tool, values or {}, timeout_ms=timeout_ms))


def _code(databases, sql, values=None, **options):
    with pytest.raises(ToolError) as failed:
        _query(databases, sql, values, **options)
    return failed.value.code


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("1::bigint", 1),
        ("9223372036854775807", 9223372036854775807),
        ("1.50::numeric", 1.5),
        ("'NaN'::numeric", "NaN"),
        ("'NaN'::float8", None),
        ("'-Infinity'::float8", None),
        ("0.1::float8", 0.1),
        ("true", True),
        ("NULL", None),
        ("'2026-01-02 03:04:05.5+00'::timestamptz AT TIME ZONE 'UTC'", "2026-01-02T03:04:05.5"),
        ("'2026-01-02'::date", "2026-01-02"),
        ("'infinity'::date", "infinity"),
        ("'0044-03-15 BC'::date", "0044-03-15 BC"),
        ("'infinity'::timestamptz", "infinity"),
        ("'12:30'::time", "12:30:00"),
        ("'1 day 02:03:04'::interval", "P1DT2H3M4S"),
        ("'8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2'::uuid", "8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2"),
        ("'\\xdeadbeef'::bytea", "deadbeef"),
        ("""'{"a": [1, null]}'::jsonb""", {"a": [1, None]}),
        ("""'{"a": 1}'::json""", {"a": 1}),
        ("ARRAY[1,2]", [1, 2]),
        ("ARRAY[1.10, 2]::numeric[]", [1.1, 2]),
        ("ARRAY['2026-01-02']::date[]", ["2026-01-02"]),
        ("'[1,5)'::int4range", "[1,5)"),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("'12.50'::money", "$12.50"),
        ("ROW(1,'a')::text", "(1,a)"),
        ("'é日本'", "é日本"),
    ],
)
def test_every_type_has_its_json_form(databases, literal, value):
    # C.UTF-8 prints money without a sign
    found = _query(databases, f"SELECT {literal} AS value")["items"][0]["value"]
    assert (f"${found}" if "money" in literal and not found.startswith("$") else found) == value


def test_a_numeric_keeps_all_its_digits(databases):
    tool = replace(TOOL, statement="SELECT 12345678901234567890.123456789::numeric AS n")
    text = databases.query(tool, {}, timeout_ms=5000)
    assert text == '{"items":[{"n":12345678901234567890.123456789}],"total":1}'


@pytest.mark.parametrize(
    ("rows", "total", "is_cut"), [(0, 0, False), (2, 2, False), (3, 3, False), (4, 3, True)]
)
def test_truncated_is_there_when_rows_were_cut_and_only_then(databases, rows, total, is_cut):
    output = _query(databases, "SELECT n FROM generate_series(1, %(rows)s) AS n", {"rows": rows})
    assert (output["total"], output.get("truncated", False)) == (total, is_cut)


def test_an_output_is_cut_to_its_bytes_by_whole_rows(databases):
    sql = "SELECT repeat('x', 100) AS x FROM generate_series(1, 3)"
    tool = replace(TOOL, statement=sql, max_bytes=300)
    text = databases.query(tool, {}, timeout_ms=5000)
    assert len(text.encode()) <= 300
    assert json.loads(text)["total"] == 2
    assert json.loads(text)["truncated"] is True


def test_a_single_row_that_does_not_fit_is_too_large(databases):
    assert _code(databases, "SELECT repeat('x', 400) AS x", max_bytes=300) == "too_large"


def test_arguments_are_bound_and_never_become_sql(databases):
    value = "'; DROP TABLE inventory; --"
    assert _query(databases, "SELECT %(a)s::text AS a", {"a": value})["items"] == [{"a": value}]
    values = {"a": {"b": [1]}, "c": [1, 2], "d": None, "e": True}
    sql = "SELECT %(a)s::jsonb AS a, %(c)s::int[] AS c, %(d)s::text AS d, %(e)s::bool AS e"
    assert _query(databases, sql, values)["items"] == [values]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM inventory",
        "SELECT 1; DELETE FROM inventory",
        "SELECT 1; SELECT 2",
        "WITH gone AS (DELETE FROM inventory RETURNING 1) SELECT * FROM gone",
        "SELECT 1; COMMIT; DROP TABLE inventory",
        "SELECT * FROM no_such_table",
    ],
)
def test_nothing_but_one_select_is_run_even_by_a_role_that_may_write(writer, postgres_server, sql):
    assert _code(writer, sql) == "query_failed"
    assert _code(writer, sql + " -- %(a)s", {"a": 1}) == "query_failed"
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("SELECT count(*) FROM inventory").fetchone() == (24000,)


def test_a_function_that_writes_is_refused_by_the_read_only_transaction(writer, postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION wipe() RETURNS int LANGUAGE plpgsql AS "
            "$$BEGIN DELETE FROM inventory; RETURN 1; END$$"
        )
    assert _code(writer, "SELECT wipe()") == "query_failed"
    unlocked = "SELECT set_config('transaction_read_only', 'off', true), wipe()"
    assert _code(writer, unlocked) == "query_failed"


def test_a_slow_query_ends_at_its_timeout_and_leaves_no_backend(databases, postgres_server):
    def attempt():
        assert _code(databases, "SELECT pg_sleep(30)", timeout_ms=200) == "timeout"

    in_time(attempt, under_s=1)
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait_for(lambda: connection.execute(sql).fetchone() == (0,), within_s=10)  # and not in 30 s
    assert _query(databases, "SELECT 1 AS one")["total"] == 1


def test_waiting_for_a_lock_counts_as_time(databases, postgres_server):
    with psycopg.connect(postgres_server.url) as connection:
        connection.execute("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE")
        assert _code(databases, "SELECT count(*) FROM tickets", timeout_ms=200) == "timeout"


def test_an_error_shows_no_sql_no_value_and_no_host(databases):
    with pytest.raises(ToolError) as failed:
        _query(databases, "SELECT %(a)s::int AS planted_column", {"a": "planted-value"})
    assert failed.value.code == "query_failed"
    assert "planted" not in str(failed.value)
    assert "127.0.0.1" not in str(failed.value)


TERMINATE = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE application_name = 'toolworker' AND usename = 'toolworker_reader'
"""


def test_a_connection_that_was_closed_meanwhile_is_replaced_unnoticed(databases, postgres_server):
    _query(databases, "SELECT 1 AS one")
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(TERMINATE)
    assert _query(databases, "SELECT 1 AS one")["total"] == 1


def test_a_connection_that_is_closed_under_a_query_is_unavailable(databases, postgres_server):
    def terminate():
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            while not connection.execute(TERMINATE + " AND wait_event = 'PgSleep'").fetchone():
                time.sleep(0.02)

    killer = threading.Thread(target=terminate)
    killer.start()
    with pytest.raises(Unavailable):
        _query(databases, "SELECT pg_sleep(20)", timeout_ms=15_000)
    killer.join()


def test_a_database_that_is_down_is_unavailable_in_time(free_port):
    databases = Databases({"default": f"postgresql://u@127.0.0.1:{free_port()}/x"})
    databases.open()

    def attempt():
        with pytest.raises(Unavailable):
            _query(databases, "SELECT 1")

    in_time(attempt, under_s=4)
    databases.close()


def test_a_server_that_refuses_a_ping_is_unavailable(databases, monkeypatch):
    monkeypatch.setattr("db.pool.ping", lambda connection: connection.execute("SELECT 1 / 0"))
    with pytest.raises(Unavailable, match="it answers no query"):
        databases.ping("default")


def test_a_server_that_hangs_in_a_query_is_given_up_a_second_after_the_timeout(
    databases, postgres_server
):
    sql = """
        SELECT pid FROM pg_stat_activity
        WHERE usename = 'toolworker_reader' AND wait_event = 'PgSleep'
    """

    def stop(stopped, is_over):
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            while not is_over.wait(0.02):
                if found := connection.execute(sql).fetchone():
                    os.kill(found[0], signal.SIGSTOP)
                    stopped.extend(found)
                    return

    def attempt():
        stopped, is_over = [], threading.Event()
        stopper = threading.Thread(target=stop, args=(stopped, is_over))
        stopper.start()
        try:
            began = time.monotonic()
            assert _code(databases, "SELECT pg_sleep(20)", timeout_ms=2_000) == "timeout"
            took_s = time.monotonic() - began
        finally:
            is_over.set()
            stopper.join()
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        if not stopped:  # it ended before it could be stopped
            return None
        assert 2 < took_s < 10
        return took_s

    until_unstalled(attempt)


def test_idle_connections_whose_server_hangs_cost_an_attempt_and_are_all_replaced(
    databases, postgres_server, monkeypatch
):
    _query(databases, "SELECT 1 AS one")
    monkeypatch.setattr("db.transaction.HEARD_S", 1.0)  # as it is outside of tests
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'toolworker_reader'"
        pids = [row[0] for row in connection.execute(sql)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="silent"):
            _query(databases, "SELECT 2 AS two")
        assert _query(databases, "SELECT 2 AS two")["items"] == [{"two": 2}]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_tool_of_a_database_without_a_url_fails_by_name_of_the_fault(databases):
    assert _code(databases, "SELECT 1", database="crm") == "internal_error"
