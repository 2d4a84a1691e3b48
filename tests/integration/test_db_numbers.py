"""Numbers keep their digits both ways, and a comparison with one uses the column's index."""

import json
from dataclasses import replace

import psycopg
import pytest

from db.arguments import parse
from db.errors import ToolError
from db.values import bound
from tests.tool import TOOL


@pytest.fixture(scope="module")
def admin(postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS amounts")
        connection.execute(
            "CREATE TABLE amounts AS SELECT n::bigint AS id, n::numeric / 8 AS amount, "
            "n::float8 / 8 AS weight, n::int AS small FROM generate_series(1, 50000) AS n"
        )
        for column in ("id", "amount", "weight", "small"):
            connection.execute(f"CREATE INDEX ON amounts ({column})")
        connection.execute("ANALYZE amounts")
        connection.execute("GRANT SELECT ON amounts TO toolworker_reader")
        yield connection


def _text(databases, sql, arguments="{}"):
    tool = replace(TOOL, statement=sql)
    return databases.query(tool, parse(arguments), timeout_ms=5000)


@pytest.mark.parametrize(
    ("cast", "number"),
    [
        ("numeric", "12345678901234567.89"),
        ("numeric", "0.10"),
        ("numeric", "12345678901234567890123"),
        ("numeric[]", "[1,2.50,12345678901234567890]"),
        ("numeric[]", "[1,null,12345678901234567890]"),
        ("bigint[]", "[1,9223372036854775807]"),
        ("jsonb", '{"a":[12345678901234567.89,12345678901234567890]}'),
        ("jsonb[]", '[{"a":0.10000000000000000001}]'),
    ],
)
def test_a_number_comes_back_with_the_digits_that_went(databases, cast, number):
    text = _text(databases, f"SELECT %(n)s::{cast} AS n", f'{{"n": {number}}}')
    assert text == f'{{"items":[{{"n":{number}}}],"total":1}}'


@pytest.mark.parametrize(
    ("column", "number"),
    [
        ("id", "5"),
        ("id", "12345678901"),
        ("small", "12345678901"),
        ("amount", "5"),
        ("amount", "12.125"),
        ("amount", "12345678901234567890"),
        ("weight", "12.125"),
        ("weight", "5"),
    ],
)
def test_an_index_is_used_whatever_the_size_of_a_number(admin, column, number):
    values = {"n": bound(parse(f'{{"n": {number}}}')["n"])}
    sql = f"EXPLAIN SELECT * FROM amounts WHERE {column} = %(n)s"  # noqa: S608
    plan = "\n".join(row[0] for row in admin.execute(sql, values))
    assert f"amounts_{column}_idx" in plan, plan


def test_an_array_of_any_size_of_numbers_uses_the_index(admin):
    values = {"n": bound(parse('{"n": [1, 2, 12345678901]}')["n"])}
    sql = "EXPLAIN SELECT * FROM amounts WHERE id = ANY (%(n)s)"
    plan = "\n".join(row[0] for row in admin.execute(sql, values))
    assert "amounts_id_idx" in plan, plan


@pytest.mark.parametrize(
    ("condition", "arguments"),
    [
        ("id = %(n)s", '{"n": 12345678901234567890}'),
        ("id = %(n)s", '{"n": -12345678901234567890}'),
        ("id > %(n)s", '{"n": 1e22}'),
        ("id = ANY (%(n)s)", '{"n": [1, 12345678901234567890]}'),
        ("small = %(n)s::int", '{"n": 12345678901}'),
    ],
)
def test_a_number_beyond_the_type_of_a_column_is_refused_as_out_of_range(
    admin, databases, condition, arguments
):
    with pytest.raises(ToolError) as failed:
        _text(databases, f"SELECT id FROM amounts WHERE {condition}", arguments)  # noqa: S608
    assert failed.value.code == "invalid_arguments"
    assert failed.value.violations == (
        {"path": "/n", "message": "is out of range; nothing can be found by it"},
    )


def test_a_column_that_holds_such_numbers_is_searched(admin, databases):
    admin.execute("DROP TABLE IF EXISTS large")
    admin.execute("CREATE TABLE large AS SELECT 12345678901234567890::numeric AS id")
    admin.execute("GRANT SELECT ON large TO toolworker_reader")
    sql = "SELECT id FROM large WHERE id = %(n)s"
    output = json.loads(_text(databases, sql, '{"n": 12345678901234567890}'))
    assert output["items"] == [{"id": 12345678901234567890}]


def test_a_message_about_a_number_has_its_digits(databases):
    tool = replace(TOOL, statement="SELECT 1 WHERE %(n)s < 0", no_rows_message="none of {n}")
    values = parse('{"n": 12345678901234567.89}')
    output = databases.query(tool, values, timeout_ms=5000)
    assert output == '{"message":"none of 12345678901234567.89"}'


def test_an_overflow_that_no_argument_can_have_caused_is_a_failed_query(databases):
    with pytest.raises(ToolError) as failed:
        _text(databases, "SELECT 2147483647 + %(n)s::int AS n", '{"n": 1}')
    assert failed.value.code == "query_failed"


def test_arrays_of_every_type_that_a_database_defines_are_json_arrays(admin, databases):
    for kind, name in (("TYPE", "rating"), ("TYPE", "place"), ("DOMAIN", "few"), ("DOMAIN", "less"),
                       ("DOMAIN", "pair"), ("TYPE", "span")):  # fmt: skip
        admin.execute(f"DROP {kind} IF EXISTS {name} CASCADE")
    admin.execute("CREATE TYPE rating AS ENUM ('G', 'PG')")
    admin.execute("CREATE TYPE place AS (x int, name text)")
    admin.execute("CREATE DOMAIN few AS int CHECK (VALUE < 10)")
    admin.execute("CREATE DOMAIN less AS few CHECK (VALUE < 5)")
    admin.execute("CREATE DOMAIN pair AS numeric[]")
    admin.execute("CREATE TYPE span AS RANGE (subtype = float8)")
    sql = """
        SELECT ARRAY['G', 'PG', NULL]::rating[] AS enums, 'G'::rating AS enum,
               ARRAY[ROW(1, 'a b')]::place[] AS composites, ROW(1, 'a b')::place AS composite,
               ARRAY[1, 2]::few[] AS domains, ARRAY[[1, 2], [3, 4]]::less[] AS deeper,
               '{1.50,2}'::pair AS pair, ARRAY['{1.50,2}'::pair] AS pairs,
               ARRAY['[1,2)'::span] AS ranges, ARRAY['pg_class'::regclass] AS classes,
               ARRAY['(1,2),(0,0)'::box] AS boxes, '{}'::rating[] AS none
    """
    expected = {
        "enums": ["G", "PG", None],
        "enum": "G",
        "composites": ['(1,"a b")'],
        "composite": '(1,"a b")',
        "domains": [1, 2],
        "deeper": [[1, 2], [3, 4]],
        "pair": [1.50, 2],
        "pairs": [[1.50, 2]],
        "ranges": ["[1,2)"],
        "classes": ["pg_class"],
        "boxes": ["(1,2),(0,0)"],
        "none": [],
    }
    # again on a connection that has learned the types, and on others
    for _ in range(3):
        assert json.loads(_text(databases, sql))["items"] == [expected]
