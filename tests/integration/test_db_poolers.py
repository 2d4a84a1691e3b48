"""Through PgBouncer in session and transaction mode the answers are the same as without."""

import json
from dataclasses import replace

import psycopg
import pytest

from db.connection import problems
from db.errors import ToolError
from db.pool import Databases
from ops.dev.server import free_port
from tests.pgbouncer import needs_pgbouncer, start_pgbouncer
from tests.tool import TOOL


@pytest.fixture(scope="module")
def own_role_url(postgres_server):
    """A role whose own settings are none that an answer may depend on."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS odd")
        connection.execute("CREATE ROLE odd LOGIN")
        for setting in (
            "DateStyle = 'German'",
            "IntervalStyle = 'sql_standard'",
            "bytea_output = 'escape'",
            "extra_float_digits = -5",
        ):
            connection.execute(f"ALTER ROLE odd SET {setting}")
    return postgres_server.url.replace("postgres@", "odd@", 1)


@pytest.fixture(
    scope="module",
    params=[
        "direct",
        pytest.param("session", marks=needs_pgbouncer),
        pytest.param("transaction", marks=needs_pgbouncer),
    ],
)
def url(request, own_role_url):
    if request.param == "direct":
        yield own_role_url
        return
    with start_pgbouncer(own_role_url, port=free_port(), mode=request.param) as found:
        yield found


@pytest.fixture
def databases(patient_database, url):
    # PgBouncer has one server connection, so that these two share it in turn
    found = Databases({"default": url}, max_size=1)
    found.open()
    yield found
    found.close()


def _query(databases, sql, values=None, **changes):
    tool = replace(TOOL, statement=sql, **changes)
    return json.loads(databases.query(tool, values or {}, timeout_ms=5000))


def test_values_have_the_same_form_whatever_the_role_is_set_to(databases):
    sql = """
        SELECT '2026-01-02'::date AS day, '2026-01-02 03:04:05+00'::timestamptz AS at,
               '1 day 2 hours'::interval AS span, '\\xdeadbeef'::bytea AS bytes,
               0.1::float8 + 0.2::float8 AS sum, %(digits)s::numeric AS digits
    """
    found = _query(databases, sql, {"digits": 12345678901234567890123})
    assert found["items"] == [
        {
            "day": "2026-01-02",
            "at": "2026-01-02T03:04:05+00:00",
            "span": "P1DT2H",
            "bytes": "deadbeef",
            "sum": 0.30000000000000004,
            "digits": 12345678901234567890123,
        }
    ]


def test_a_query_is_read_only_and_ends_at_its_timeout(databases):
    sql = """
        SELECT current_setting('transaction_read_only') AS read_only,
               current_setting('statement_timeout') AS timeout,
               current_setting('cursor_tuple_fraction') AS fraction
    """
    tool = replace(TOOL, statement=sql)
    (item,) = json.loads(databases.query(tool, {}, timeout_ms=60_000))["items"]
    assert (item["read_only"], item["fraction"]) == ("on", "1")
    assert item["timeout"] in ("1min", *(f"{ms}ms" for ms in range(50_000, 60_000)))
    with pytest.raises(ToolError) as failed:
        databases.query(replace(TOOL, statement="SELECT pg_sleep(9)"), {}, timeout_ms=200)
    assert failed.value.code == "timeout"


def test_no_setting_of_one_call_reaches_another(databases):
    change = """
        SELECT set_config('toolworker.caller', 'ada', false), set_config('TimeZone', 'Japan', false)
    """
    look = """
        SELECT coalesce(current_setting('toolworker.caller', true), '') AS caller,
               current_setting('TimeZone') AS zone, current_setting('statement_timeout') AS timeout
    """
    before = _query(databases, look)["items"][0]
    _query(databases, change)
    after = _query(databases, look)["items"][0]
    assert (after["caller"], after["zone"]) == ("", before["zone"])


def test_after_a_failed_query_the_next_one_is_answered(databases):
    for _ in range(3):
        with pytest.raises(ToolError) as failed:
            _query(databases, "SELECT 1 / %(a)s::int AS one", {"a": 0})
        assert failed.value.code == "query_failed"
        assert _query(databases, "SELECT 1 / %(a)s::int AS one", {"a": 1})["items"] == [{"one": 1}]


def test_many_statements_in_turn_leave_nothing_prepared(databases):
    for number in range(20):
        sql = f"SELECT %(a)s::int + {number} AS sum"
        assert _query(databases, sql, {"a": 1})["items"] == [{"sum": number + 1}]
    assert _query(databases, "SELECT count(*) AS n FROM pg_prepared_statements")["items"] == [
        {"n": 0}
    ]


def test_any_target_session_attrs_connects(patient_database, url):
    databases = Databases({"default": f"{url}?target_session_attrs=read-write"})
    databases.open()
    assert _query(databases, "SELECT 1 AS one")["items"] == [{"one": 1}]
    databases.close()


@needs_pgbouncer
def test_of_a_pooler_that_refuses_options_the_cause_is_named(patient_database, own_role_url):
    with start_pgbouncer(own_role_url, port=free_port(), mode="session") as url:
        assert problems({"default": f"{url}?options=-csearch_path%3Dcrm"}) == {
            "default": "the pooler takes no options from the URL; give them to the role: "
            "ALTER ROLE … SET …"
        }


@needs_pgbouncer
def test_of_a_pooler_in_statement_mode_the_cause_is_named(patient_database, own_role_url):
    with start_pgbouncer(own_role_url, port=free_port(), mode="statement") as url:
        assert problems({"default": url}) == {
            "default": "the pooler is in statement mode; give it pool_mode = transaction"
        }
