"""`tools check --database` runs a statement with its schema's edge values, and finds what fails."""

import json

import psycopg
import pytest

from db import catalog
from db.lint import live, offline
from tests.pgbouncer import needs_pgbouncer, start_pgbouncer
from tests.timing import until_unstalled

TABLES = """
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE TABLE nobody (n int);
CREATE TYPE rating AS ENUM ('G', 'PG-13');
CREATE TABLE film (film_id int PRIMARY KEY, title text, rating rating, length smallint);
CREATE TABLE artist (
  artist_id int PRIMARY KEY, name text, born date, seen timestamptz, price numeric(10, 2),
  tags text[], extra jsonb, tag uuid, is_new boolean, address inet, big bigint, opens time);
CREATE TABLE perm (id int, read bool, write bool, delete bool);
CREATE SEQUENCE ticket;
INSERT INTO artist (artist_id, name, price) VALUES (1, 'AC/DC', 1.5), (2, NULL, 0);
INSERT INTO film VALUES (1, 'A', 'G', 90);
INSERT INTO perm VALUES (1, true, true, false);
CREATE TABLE payment (payment_id int, amount numeric(5, 2), paid date) PARTITION BY RANGE (paid);
CREATE TABLE payment_1 PARTITION OF payment FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE payment_2 PARTITION OF payment FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO payment SELECT n, 1, '2026-01-05' FROM generate_series(1, 6000) AS n;
INSERT INTO payment SELECT n, 1, '2026-02-05' FROM generate_series(1, 6000) AS n;
ANALYZE payment;
CREATE TABLE large (id bigint PRIMARY KEY, name text);
INSERT INTO large SELECT n, 'n' || n FROM generate_series(1, 10100) AS n;
ANALYZE large;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO sample_reader;
GRANT USAGE ON SEQUENCE ticket TO sample_reader;
"""


@pytest.fixture(scope="module")
def url(postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE ROLE sample_reader LOGIN PASSWORD 'reader'")
        admin.execute("CREATE DATABASE samples")
    own = postgres_server.url.rpartition("/")[0] + "/samples"
    with psycopg.connect(own) as admin:
        admin.execute(TABLES)
    return own.replace("postgres@", "sample_reader:reader@", 1)


@pytest.fixture
def check(patient_database, tmp_path, url):
    def check(sql, properties, *, required=None, examples=(), through=url, tries_s=60, **more):
        path = tmp_path / "tool"
        path.mkdir(exist_ok=True)
        parameters = {
            "type": "object",
            "properties": properties,
            "required": list(properties) if required is None else required,
            "additionalProperties": False,
        }
        tool = {"name": "tool", "description": "d", "parameters": parameters, **more}
        (path / "tool.json").write_text(json.dumps(tool))
        (path / "query.sql").write_text(sql)
        (path / "examples.json").write_text(json.dumps(examples))
        loaded = catalog.load(tmp_path)
        tried = list(live.examine(through, "default", [*loaded.tools.values()], tries_s=tries_s))
        assert {f.mistake.file for f in tried} <= {"tool/query.sql"}
        found = [*offline.warnings(tmp_path), *tried]
        return [(f.mistake.line, f.mistake.message) for f in found if not f.is_warning], [
            (f.mistake.line, f.mistake.message) for f in found if f.is_warning
        ]

    return check


TEXT, WHOLE, NUMBER, TRUTH = ({"type": t} for t in ("string", "integer", "number", "boolean"))
TEXTS, WHOLES = ({"type": "array", "items": item} for item in (TEXT, WHOLE))


def _format(name):
    return {"type": "string", "format": name}


@pytest.mark.parametrize(
    ("sql", "properties", "line", "message"),
    [
        (
            "SELECT film_id FROM film\nWHERE rating = %(a)s",
            {"a": {"type": "string", "enum": ["G", "PG13"]}},
            2,
            'a may be "PG13", with which it fails: invalid input value for enum rating: "PG13"'
            ' (SQLSTATE 22P02); rating has "G", "PG-13": give "enum" these',
        ),
        (
            "SELECT name FROM artist\nWHERE artist_id = ANY(%(ids)s)",
            {"ids": TEXTS},
            2,
            'ids may be ["text"], with which it fails: invalid input syntax for type integer:'
            ' "text" (SQLSTATE 22P02); give its items "type": "integer"',
        ),
        (
            "SELECT u FROM unnest(%(ids)s) AS u",
            {"ids": WHOLES},
            1,
            "ids may be [], with which it fails: function unnest(unknown) is not unique"
            " (SQLSTATE 42725); write %(ids)s::bigint[]",
        ),
        (
            "SELECT %(n)s::text[] AS n",
            {"n": {"type": "array"}},
            1,
            'may be ["text", 1], which is no array of one type: cannot dump lists of mixed types;'
            ' got: int, str; give it "items" with a single "type"',
        ),
        (
            "SELECT name FROM artist WHERE artist_id = %(id)s::int\nLIMIT %(n)s",
            {"id": {**WHOLE, "minimum": 0, "maximum": 9}, "n": WHOLE},
            2,
            "n may be -1, with which it fails: LIMIT must not be negative (SQLSTATE 2201W);"
            ' LIMIT takes no number below 0; give it "minimum": 0',
        ),
        (
            "SELECT name FROM artist WHERE price > 10 / %(n)s",
            {"n": WHOLE},
            1,
            "n may be 0, with which it fails: division by zero (SQLSTATE 22012);"
            " it divides by zero; write NULLIF(%(n)s, 0)",
        ),
        (
            "SELECT name FROM artist WHERE name LIKE %(q)s",
            {"q": TEXT},
            1,
            "a backslash at its end fails in LIKE; write LIKE … ESCAPE ''",
        ),
        (
            "SELECT name FROM artist WHERE name ~ %(q)s",
            {"q": TEXT},
            1,
            "text that is no regular expression fails",
        ),
        (
            "SELECT name FROM artist WHERE born = %(d)s",
            {"d": {"type": "string", "pattern": "^[0-9-]+$"}},
            1,
            'give it "format": "date"',
        ),
        (
            "SELECT name FROM artist WHERE artist_id = %(d)s",
            {"d": {"type": "string", "pattern": "^[0-9]{1,12}$"}},
            1,
            'give it "minimum": -2147483648 and "maximum": 2147483647',
        ),
        (
            "SELECT title FROM film WHERE length = %(n)s::smallint",
            {"n": WHOLE},
            1,
            'give it "minimum": -32768 and "maximum": 32767',
        ),
        (
            "WITH gone AS (\nDELETE FROM perm RETURNING id)\nSELECT id FROM gone WHERE id = %(id)s",
            {"id": WHOLE},
            2,
            "DECLARE CURSOR must not contain data-modifying statements in WITH"
            " (SQLSTATE 0A000); a tool only reads",
        ),
        (
            "SELECT id FROM perm\nWHERE id = %(id)s FOR UPDATE",
            {"id": WHOLE},
            2,
            "cannot execute SELECT FOR UPDATE in a read-only transaction (SQLSTATE 25006);"
            " a tool only reads",
        ),
        (
            "SELECT nextval('ticket') AS n, %(id)s::int AS id",
            {"id": {**WHOLE, "minimum": 1, "maximum": 9}},
            1,
            "cannot execute nextval() in a read-only transaction (SQLSTATE 25006);"
            " a tool only reads",
        ),
        (
            "SELECT id INTO kept FROM perm WHERE id = %(id)s",
            {"id": WHOLE},
            1,
            "a tool only reads",
        ),
        (
            "SELECT name FROM artist WHERE tag = ANY(%(t)s::uuid[])",
            {"t": TEXTS},
            1,
            "with which it fails: invalid input syntax for type uuid",
        ),
        (
            "SELECT name FROM artist WHERE born = %(d)s::date",
            {"d": {"type": ["string", "null"], "enum": ["2026-02-30", None]}},
            1,
            "date/time field value out of range",
        ),
        (
            "SELECT substr(name, 1, %(n)s::int) AS name FROM artist",
            {"n": {**WHOLE, "minimum": -5, "maximum": 5}},
            1,
            "negative substring length not allowed (SQLSTATE 22011); no text has a part",
        ),
        (
            "SELECT ln(%(n)s::numeric) AS n",
            {"n": {**NUMBER, "minimum": 0}},
            1,
            'no such number has a logarithm; give it "exclusiveMinimum": 0',
        ),
        (
            "SELECT chr(%(n)s::int) AS letter",
            {"n": {**WHOLE, "minimum": 0, "maximum": 70000}},
            1,
            "n may be 0, with which it fails: null character not permitted",
        ),
    ],
)
def test_the_value_that_fails_is_named_with_what_to_write(check, sql, properties, line, message):
    found_all, _ = check(sql, properties)
    assert len(found_all) == 1, found_all
    ((found_line, found),) = found_all
    assert message in found
    assert found_line == line


@pytest.mark.parametrize(
    ("sql", "schema", "line", "advice"),
    [
        (
            "SELECT title FROM film\nWHERE to_tsvector(title)\n@@ to_tsquery(%(q)s)",
            TEXT,
            3,
            "write websearch_to_tsquery()",
        ),
        ("SELECT 1 AS n\nFROM nobody\nWHERE n = %(q)s::posint", WHOLE, 3, "bound it alike"),
        (
            "SELECT date '2026-01-01'\n+ %(q)s::int AS d",
            WHOLE,
            2,
            'give it a "minimum" and a "max',
        ),
        (
            "-- One row.\nSELECT\nrepeat('a', %(q)s::int) AS a",
            {**WHOLE, "minimum": 0},
            3,
            'a smaller "maximum"',
        ),
        ("SELECT 'a' AS a,\nsqrt(%(q)s::float8) AS r", NUMBER, 2, 'give it "minimum": 0'),
        ("SELECT name FROM artist\nWHERE name = %(q)s", {}, 2, 'give it one "type"'),
        ("SELECT\n%(q)s::int4range AS r", TEXT, 2, 'an "enum" or a "pattern"'),
    ],
)
def test_each_failure_has_its_line_and_advice(check, sql, schema, line, advice):
    ((found, message),), _ = check(sql, {"q": schema})
    assert advice in message
    assert found == line


def test_samples_that_there_was_no_time_for_are_a_warning_at_their_line(check):
    mistakes, warnings = check(
        "SELECT pg_sleep(30)::text AS a,\n%(q)s::bool AS q", {"q": TRUTH}, tries_s=0.2
    )
    assert mistakes == []
    ((line, message),) = warnings
    assert line == 1
    assert message == (
        "4 of 4 samples had no row of at most 8 MB within 0.2 s, the first with the arguments"
        ' {"q": true}: whether they fail is not known; give the check more time, --seconds 0.8,'
        " or a database with fewer rows"
    )


def test_of_samples_without_time_the_first_is_named_by_its_property(check):
    sql = "SELECT name FROM artist, pg_sleep(CASE WHEN\n%(n)s::int = 3 THEN 30 ELSE 0 END)"

    def attempt():  # a server that is stopped for long has no row for the others, either
        mistakes, ((line, message),) = check(sql, {"n": {"enum": [1, 2, 3]}}, tries_s=2)
        assert (mistakes, line) == ([], 2)
        return True if message.startswith(expected) else None

    expected = "1 of 5 samples had no row of at most 8 MB within 2 s, the first where n is 3"
    until_unstalled(attempt, tries=3)


TOO_SLOW = (
    "tool had no row within its timeout_ms of 100, after which a call ends in `timeout`; add an"
    " index, let it read fewer rows (a lower LIMIT), or raise timeout_ms"
)


def test_a_query_slower_than_its_timeout_is_a_warning_that_names_the_cause(check):
    sql = "SELECT 'planted' AS a FROM pg_sleep(0.5) WHERE %(q)s::text IS NOT NULL"
    mistakes, warnings = check(sql, {"q": TEXT}, timeout_ms=100, tries_s=2)
    assert mistakes == []
    ((line, message),) = warnings
    assert (line, message.partition(": ")[0]) == (1, TOO_SLOW)
    assert "planted" not in message


def test_a_query_that_some_values_make_too_slow_is_a_warning_at_their_placeholder(check):
    sql = "SELECT name FROM artist, pg_sleep(CASE WHEN\n%(n)s::int = 3 THEN 30 ELSE 0 END)"

    def attempt():  # a server that is stopped for long has no row for the others, either
        mistakes, warnings = check(sql, {"n": {"enum": [1, 2, 3]}}, timeout_ms=500, tries_s=2)
        assert mistakes == []
        return True if warnings == [(2, expected)] else None

    expected = (
        "tool had no row within its timeout_ms of 500 for some values of n, after which a call ends"
        " in `timeout`; add an index, let it read fewer rows (a lower LIMIT), or raise timeout_ms:"
        " 1 of 5 samples did not end, and whether they fail is not known"
    )
    until_unstalled(attempt, tries=3)


def test_a_sample_that_fails_after_its_share_is_a_mistake_when_no_time_is_left(check):
    sql = "SELECT 1 / (%(n)s::int - 3) AS a FROM pg_sleep(0.2)"
    numbers = [3, *range(10, 40)]  # each is cut at 50 ms, which is all of the second
    mistakes, warnings = check(sql, {"n": {"enum": numbers}}, timeout_ms=1000, tries_s=1)
    assert "division by zero" in mistakes[0][1]
    assert "its timeout_ms" not in str(warnings)


def test_a_slow_sample_has_the_time_that_the_others_leave(check):
    sql = "SELECT 1 / (%(n)s::int - 3) AS a FROM pg_sleep(CASE WHEN %(n)s = 3 THEN 0.5 ELSE 0 END)"
    ((_, message),), warnings = check(sql, {"n": {"enum": [1, 2, 3]}}, tries_s=5)
    assert "n may be 3, with which it fails: division by zero" in message
    assert warnings == []


def test_every_value_of_a_long_enum_is_tried(check):
    labels = [f"label {number}" for number in range(300)]
    sql = "SELECT 1 / (CASE %(q)s::text WHEN 'label 299' THEN 0 ELSE 1 END) AS a"
    ((_, message),), _ = check(sql, {"q": {"enum": labels}})
    assert 'q may be "label 299"' in message
    sql = "SELECT 1 / (CASE WHEN 'label 299' = ANY(%(q)s::text[]) THEN 0 ELSE 1 END) AS a"
    for most in ({}, {"maxItems": 7}):
        ((_, message),), _ = check(sql, {"q": {"type": "array", "items": {"enum": labels}, **most}})
        assert "q may be" in message


def test_a_row_that_is_too_large_is_no_mistake_and_hides_no_other_tool(check):
    sql = "SELECT repeat('a', CASE\n%(n)s WHEN 2 THEN 9000000 ELSE 1 END) AS a"
    mistakes, ((line, message),) = check(sql, {"n": {"type": "integer", "enum": [1, 2, 3]}})
    assert (mistakes, line) == ([], 2)
    assert "the first where n is 2" in message


LEGITIMATE = [
    ("SELECT p.read, p.write, p.delete FROM perm AS p WHERE p.id = %(id)s", {"id": WHOLE}),
    ("SELECT %(d)s::timestamptz AS d", {"d": _format("date-time")}),
    ("SELECT %(q)s::text AS q", {"q": TEXT}),
    ("SELECT name FROM artist WHERE artist_id = %(id)s", {"id": WHOLE}),
    ("SELECT name FROM artist WHERE artist_id = ANY(%(ids)s::int[])", {"ids": WHOLES}),
    ("SELECT name FROM artist WHERE big = ANY(%(ids)s::bigint[])", {"ids": WHOLES}),
    ("SELECT name FROM artist WHERE name = ANY(%(n)s)", {"n": TEXTS}),
    ("SELECT name FROM artist WHERE tags && %(t)s", {"t": TEXTS}),
    ("SELECT name FROM artist WHERE tags @> ARRAY[%(t)s]", {"t": TEXT}),
    ("SELECT name FROM artist WHERE extra @> %(e)s", {"e": {"type": "object"}}),
    ("SELECT name FROM artist WHERE extra ? %(k)s", {"k": TEXT}),
    ("SELECT name FROM artist WHERE tag = %(t)s", {"t": _format("uuid")}),
    ("SELECT name FROM artist WHERE born = %(d)s", {"d": _format("date")}),
    ("SELECT name FROM artist WHERE seen > %(d)s", {"d": _format("date-time")}),
    ("SELECT name FROM artist WHERE seen::date = %(d)s", {"d": _format("date")}),
    ("SELECT name FROM artist WHERE opens < %(t)s::timetz::time", {"t": _format("time")}),
    ("SELECT name FROM artist WHERE address = %(a)s", {"a": _format("ipv4")}),
    ("SELECT name FROM artist WHERE address << %(a)s", {"a": _format("ipv6")}),
    ("SELECT name FROM artist WHERE is_new = %(b)s", {"b": TRUTH}),
    ("SELECT name FROM artist WHERE is_new IS NOT DISTINCT FROM %(b)s", {"b": TRUTH}),
    ("SELECT name FROM artist WHERE price BETWEEN %(a)s AND %(b)s", {"a": NUMBER, "b": NUMBER}),
    ("SELECT name FROM artist WHERE price > %(n)s::float8", {"n": NUMBER}),
    ("SELECT name FROM artist WHERE name ILIKE '%%' || %(q)s || '%%' ESCAPE ''", {"q": TEXT}),
    ("SELECT name FROM artist WHERE position(%(q)s in name) > 0", {"q": TEXT}),
    ("SELECT name FROM artist WHERE starts_with(name, %(q)s)", {"q": TEXT}),
    (
        "SELECT name FROM artist LIMIT %(n)s",
        {"n": {"type": "integer", "minimum": 0, "maximum": 50}},
    ),
    ("SELECT title FROM film WHERE rating = %(r)s", {"r": {"enum": ["G", "PG-13"]}}),
    ("SELECT title FROM film WHERE rating::text = %(r)s", {"r": TEXT}),
    ("SELECT title FROM film WHERE length = %(n)s", {"n": WHOLE}),
    ("WITH a AS (SELECT %(q)s::text AS q) SELECT q FROM a", {"q": TEXT}),
    ("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) TABLE n", {}),
    ("VALUES (%(a)s::int, 'for update')", {"a": {**WHOLE, "minimum": 0, "maximum": 9}}),
    ("(SELECT name FROM artist WHERE name = %(q)s) UNION SELECT title FROM film", {"q": TEXT}),
    ("SELECT 'DELETE FROM perm; $1 :id {id} ?' AS text, %(q)s::text AS q", {"q": TEXT}),
    ("SELECT name, price AS update, is_new AS set FROM artist WHERE name = %(q)s", {"q": TEXT}),
    ("SELECT (tags)[1:2] AS tags, name::text FROM artist WHERE name = %(q)s", {"q": TEXT}),
    (
        "SELECT sum(price) OVER (ORDER BY artist_id) AS s FROM artist WHERE name = %(q)s",
        {"q": TEXT},
    ),
    ("SELECT name FROM artist WHERE name = %(q)s -- what's :this $1 {x}?\n", {"q": TEXT}),
    ("SELECT jsonb_build_object('a', %(q)s::text) -> 'a' AS a;", {"q": TEXT}),
    ("SELECT name FROM artist WHERE %(q)s::text IS NULL OR name = %(q)s", {"q": TEXT}),
    ("SELECT E'it\\'s :q' AS a, $$ :q $$ AS b, %(q)s::text AS c", {"q": TEXT}),
    ("SELECT name FROM artist WHERE artist_id %% 2 = %(n)s", {"n": WHOLE}),
    ("SELECT name FROM artist /* FOR UPDATE /* :q */ */ WHERE name = %(q)s", {"q": TEXT}),
]


def test_there_are_forty_legitimate_statements():
    assert len(LEGITIMATE) >= 40


@pytest.mark.parametrize(("sql", "properties"), LEGITIMATE)
def test_a_legitimate_statement_is_let_through(check, sql, properties):
    mistakes, warnings = check(sql, properties)
    assert (mistakes, warnings) == ([], [])


def test_partitions_that_are_read_whole_count_together(check):
    sql, properties = "SELECT payment_id FROM payment WHERE amount = %(a)s", {"a": NUMBER}
    mistakes, warnings = check(sql, properties)
    assert mistakes == []
    assert warnings == [(1, "reads all of payment (about 12000 rows); is an index missing?")]


def test_a_number_that_makes_an_index_useless_is_named_by_its_type(check):
    mistakes, warnings = check("SELECT name FROM large WHERE id = %(n)s", {"n": NUMBER})
    assert mistakes == []
    assert warnings == [(1, "reads all of large (about 10100 rows); is an index missing?")]


def test_a_column_without_a_name_is_a_warning(check):
    mistakes, warnings = check("SELECT name, price + 1 FROM artist", {})
    assert mistakes == []
    assert warnings == [
        (1, 'column 2 has no name and is called "?column?" in the output; write AS')
    ]


def test_an_optional_property_without_its_null_branch_is_a_warning(check):
    mistakes, warnings = check(
        "SELECT name FROM artist\nWHERE name = %(q)s", {"q": TEXT}, required=[]
    )
    assert mistakes == []
    assert warnings == [
        (
            2,
            "q may be left out and is NULL then, which equals nothing; write"
            " (%(q)s::text IS NULL OR …), or make it required",
        )
    ]


def test_nothing_stays_of_what_was_tried(check, url, postgres_server):
    check("SELECT title FROM film WHERE film_id = %(n)s", {"n": WHOLE})
    own = postgres_server.url.rpartition("/")[0] + "/samples"
    with psycopg.connect(own) as admin:
        assert admin.execute("SELECT last_value, is_called FROM ticket").fetchone() == (1, False)
        assert admin.execute("SELECT count(*) FROM perm").fetchone() == (1,)


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_check_through_a_pooler_finds_the_same(check, url, free_port, mode):
    with start_pgbouncer(url, port=free_port(), mode=mode) as pooled:
        for sql, properties in (
            ("SELECT name FROM large WHERE name = %(n)s", {"n": TEXT}),
            ("SELECT title FROM film WHERE rating = %(n)s", {"n": TEXT}),
        ):
            assert check(sql, properties, through=pooled) == check(sql, properties)
