"""Hard cases of Postgres: values outside of JSON, transient errors, databases set up oddly."""

import json
from dataclasses import replace

import psycopg
import pytest

from db.errors import ToolError, Unavailable
from db.pool import Databases
from tests.tool import TOOL


@pytest.fixture
def admin(postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        yield connection


def _text(databases, sql, values=None, **changes):
    return databases.query(replace(TOOL, statement=sql, **changes), values or {}, timeout_ms=5000)


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (
            """'{"n":12345678901234567890.123456789}'::jsonb""",
            '{"n":12345678901234567890.123456789}',
        ),
        ("""'{"n":1.10}'::jsonb""", '{"n":1.10}'),
        ("to_jsonb(repeat('9',5000)::numeric)", "9" * 5000),
        ("'1e400'::json", "1E+400"),
        ("'1e99999999'::json", "1E+99999999"),
        ("1e-300::numeric", "1E-300"),
        ("ROW(1,'a')", '"(1,a)"'),
        ("ARRAY[ROW(1,'a')]", '["(1,a)"]'),
        ("'{[1,5),[7,9)}'::int4multirange", '"{[1,5),[7,9)}"'),
        ("'{[2026-01-01,infinity)}'::datemultirange", '"{[2026-01-01,infinity)}"'),
    ],
)
def test_a_value_arrives_as_postgres_has_it(databases, literal, text):
    expected = '{"items":[{"v":' + text + '}],"total":1}'
    assert _text(databases, f"SELECT {literal} AS v") == expected


def test_no_text_in_a_json_column_is_taken_for_a_number(databases):
    sql = r"""SELECT '{"\u00001":"\u000012"}'::json AS v"""
    assert json.loads(_text(databases, sql)) == {
        "items": [{"v": {"\x001": "\x0012"}}],
        "total": 1,
    }


def _is_read(text):
    try:
        json.loads(text)
    except RecursionError:
        return False
    return True


@pytest.mark.parametrize("depth", [5_000, 50_000])  # Python 3.13 reads the first; Postgres one
def test_json_nested_too_deeply_to_be_read_is_a_failed_query_and_not_a_crash(databases, depth):
    sql = f"SELECT (repeat('[', {depth}) || repeat(']', {depth}))::json AS v"
    nested = "[" * depth + "]" * depth
    if depth == 5_000 and _is_read(nested):
        assert _text(databases, sql) == '{"items":[{"v":' + nested + '}],"total":1}'
    else:
        with pytest.raises(ToolError) as failed:
            _text(databases, sql)
        assert failed.value.code == "query_failed"
    assert json.loads(_text(databases, "SELECT 1 AS one"))["total"] == 1


@pytest.mark.parametrize(
    ("cast", "value"),
    [
        ("numeric[]", [1, 2.5]),
        ("float8[]", [1, 2.5, None]),
        ("bigint[]", [1, 9223372036854775807]),
        ("jsonb[]", [{"a": 1}, {"b": [2]}]),
        ("text[]", []),
    ],
)
def test_an_array_is_bound_whatever_mixture_json_allows(databases, cast, value):
    output = _text(databases, f"SELECT %(a)s::{cast} AS v", {"a": value})
    assert json.loads(output)["items"] == [{"v": value}]


@pytest.mark.parametrize(
    "sqlstate", ["40001", "40P01", "53100", "53200", "53300", "57P01", "57P04", "57P05", "08006"]
)
def test_an_error_that_passes_is_worth_another_attempt(databases, admin, sqlstate):
    _raising(admin, sqlstate)
    with pytest.raises(Unavailable):
        _text(databases, "SELECT raise_it() AS v")
    assert json.loads(_text(databases, "SELECT 1 AS one"))["total"] == 1


@pytest.mark.parametrize("sqlstate", ["25006", "42501", "22012", "XX000", "P0001"])
def test_an_error_that_stays_is_not_tried_again(databases, admin, sqlstate):
    _raising(admin, sqlstate)
    with pytest.raises(ToolError) as failed:
        _text(databases, "SELECT raise_it() AS v")
    assert (failed.value.code, failed.value.retryable) == ("query_failed", False)


def test_a_lock_that_the_role_does_not_wait_for_is_a_timeout(databases, admin):
    _raising(admin, "55P03")
    with pytest.raises(ToolError) as failed:
        _text(databases, "SELECT raise_it() AS v")
    assert (failed.value.code, failed.value.retryable) == ("timeout", True)


def test_options_of_the_url_are_kept_beside_our_own(patient_database, postgres_server, admin):
    admin.execute("CREATE SCHEMA IF NOT EXISTS crm")
    admin.execute("CREATE TABLE IF NOT EXISTS crm.only_here AS SELECT 1 AS one")
    databases = Databases({"default": f"{postgres_server.url}?options=-csearch_path%3Dcrm"})
    databases.open()
    sql = """
        SELECT one, current_setting('transaction_read_only') AS read_only,
               current_setting('intervalstyle') AS style
        FROM only_here
    """
    assert json.loads(_text(databases, sql))["items"] == [
        {"one": 1, "read_only": "on", "style": "iso_8601"}
    ]
    databases.close()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_reads_and_writes_the_same_letters(
    patient_database, postgres_server, admin, encoding
):
    name = f"in_{encoding.lower()}"
    admin.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    databases = Databases({"default": f"{postgres_server.url.rsplit('/', 1)[0]}/{name}"})
    databases.open()
    output = _text(databases, "SELECT 'é' AS written, %(a)s::text AS bound", {"a": "é"})
    assert output == '{"items":[{"written":"é","bound":"é"}],"total":1}'
    databases.close()


def test_letters_that_a_database_does_not_have_are_a_failed_query(
    patient_database, postgres_server, admin
):
    admin.execute("CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    databases = Databases({"default": f"{postgres_server.url.rsplit('/', 1)[0]}/narrow"})
    databases.open()
    with pytest.raises(ToolError) as failed:
        _text(databases, "SELECT %(a)s::text AS v", {"a": "日"})
    assert failed.value.code == "query_failed"
    databases.close()


def _raising(admin, sqlstate):
    admin.execute(
        "CREATE OR REPLACE FUNCTION raise_it() RETURNS int LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION 'passing' USING ERRCODE = '{sqlstate}'; END$$"
    )
