"""`tools check --database` prepares and plans statements on a real Postgres, and names failures."""

import json

import psycopg
import pytest

from db import catalog
from db.errors import Unavailable
from db.lint import live

TABLES = """
CREATE ROLE check_reader LOGIN PASSWORD 'reader';
CREATE TABLE item (
  id int PRIMARY KEY, sku text, day date, at timestamptz, tag uuid, kind mood, price numeric,
  is_new boolean, extra jsonb, tags text[], address inet);
CREATE TABLE hidden (id int);
CREATE SCHEMA closed;
CREATE TABLE closed.inner_table (id int);
CREATE TABLE large (id int PRIMARY KEY, name text);
INSERT INTO large SELECT n, 'n' || n FROM generate_series(1, 10100) AS n;
ANALYZE large;
CREATE ROLE check_owner;
CREATE VIEW blind AS SELECT id FROM hidden;
ALTER VIEW blind OWNER TO check_owner;
CREATE TABLE "Order items" (id int);
GRANT SELECT ON item, large, blind TO check_reader;
"""


@pytest.fixture(scope="module")
def url(postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE live_check")
    own = postgres_server.url.rpartition("/")[0] + "/live_check"
    with psycopg.connect(own) as admin:
        admin.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
        admin.execute(TABLES)
    return own.replace("postgres@", "check_reader:reader@", 1)


@pytest.fixture
def findings(patient_database, tmp_path, url):
    def check(sql, *, required=(), **properties):
        path = tmp_path / "tool"
        path.mkdir(exist_ok=True)
        parameters = {
            "type": "object",
            "properties": properties,
            "required": list(required),
            "additionalProperties": False,
        }
        tool = {"name": "tool", "description": "d", "parameters": parameters}
        (path / "tool.json").write_text(json.dumps(tool))
        (path / "query.sql").write_text(sql)
        (path / "examples.json").write_text("[]")
        loaded = catalog.load(tmp_path)
        found = live.examine(url, "default", list(loaded.tools.values()), tries_s=60)
        return [(f.mistake.file, f.mistake.line, f.mistake.message, f.is_warning) for f in found]

    return check


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("sql", "properties", "line", "words"),
    [
        ("SELECT id\nFROM itme", {}, 2, 'relation "itme" does not exist (SQLSTATE 42P01)'),
        ("SELECT skuu\nFROM item", {}, 1, 'column "skuu" does not exist (SQLSTATE 42703); Perhaps'),
        ("SELECT id\nFROM item\nWHERE", {}, 3, "syntax error at end of input (SQLSTATE 42601)"),
        # the place is after two placeholders that are shorter on the server, and a percent sign
        (
            "SELECT '%%',\n%(sku)s::text,\n%(sku)s::text, nothing\nFROM item",
            {"sku": TEXT},
            3,
            'column "nothing" does not exist',
        ),
        (
            "SELECT id FROM item\nWHERE %(sku)s IS NULL OR sku = %(sku)s",
            {"sku": TEXT},
            2,
            "write %(sku)s::text where it is not compared with a column",
        ),
        (
            "SELECT id FROM item WHERE %(day)s IS NULL OR day > %(day)s",
            {"day": {"type": "string", "format": "date"}},
            1,
            "write %(day)s::date where",
        ),
        (
            "SELECT id FROM item WHERE (%(n)s IS NULL\nOR id > %(n)s)",
            {"n": {"type": "integer"}},
            1,
            "write %(n)s::bigint where",
        ),
        (
            "SELECT id FROM item WHERE sku = %(n)s",
            {"n": {"type": "integer"}},
            1,
            "operator does not exist: text = smallint (SQLSTATE 42883)",
        ),
        ("SELECT id FROM item\nWHERE id = %(n)s", {"n": TEXT}, 2, 'make it "type": "integer"'),
        ("SELECT id FROM item WHERE day = %(d)s", {"d": TEXT}, 1, 'give it "format": "date"'),
        ("SELECT id FROM item WHERE at > %(t)s", {"t": TEXT}, 1, 'give it "format": "date-time"'),
        ("SELECT id FROM item WHERE tag = %(t)s", {"t": TEXT}, 1, 'give it "format": "uuid"'),
        ("SELECT id FROM item WHERE is_new = %(t)s", {"t": TEXT}, 1, 'make it "type": "boolean"'),
        ("SELECT id FROM item WHERE extra = %(t)s", {"t": TEXT}, 1, 'make it "type": "object"'),
        ("SELECT id FROM item WHERE address = %(t)s", {"t": TEXT}, 1, 'give it "format": "ipv'),
        (
            "SELECT id FROM item WHERE kind = %(t)s",
            {"t": TEXT},
            1,
            'mood has "good", "bad": give "enum" these',
        ),
        ("SELECT id FROM hidden", {}, 1, "permission denied for table hidden (SQLSTATE 42501)"),
        (
            "SELECT item.id FROM item\nJOIN hidden USING (id) WHERE sku = %(t)s",
            {"t": TEXT},
            2,
            "(SQLSTATE 42501); let its owner run GRANT SELECT ON hidden TO check_reader",
        ),
        (
            "SELECT item.id FROM item, hidden WHERE sku = %(t)s AND (%(n)s::int IS NULL OR true)",
            {"t": TEXT, "n": {"type": "integer"}},
            1,
            "permission denied for table hidden (SQLSTATE 42501); let its owner run GRANT",
        ),
        (
            "SELECT id FROM closed.inner_table",
            {},
            1,
            "let its owner run GRANT USAGE ON SCHEMA closed TO check_reader",
        ),
        ("SELECT id, sku AS id FROM item", {}, 1, "two columns are called id"),
        (
            "SELECT left(sku, %(n)s) FROM item",
            {"n": {"type": "integer"}},
            1,
            "function left(text, bigint) does not exist",
        ),
    ],
)
def test_what_only_the_database_knows_is_found_at_its_line(findings, sql, properties, line, words):
    ((file, found_line, message, is_warning),) = findings(sql, **properties)
    assert (file, found_line, is_warning) == ("tool/query.sql", line, False)
    assert words in message


def test_a_right_that_a_views_owner_lacks_is_not_to_be_granted_to_the_tools_role(findings):
    ((_, _, message, _),) = findings("SELECT id FROM blind")
    assert message == (
        "permission denied for table hidden (SQLSTATE 42501); a view or function of the statement "
        "reads it"
    )


def test_the_grant_of_a_name_that_needs_quotes_has_them(findings):
    ((_, line, message, _),) = findings('SELECT id\nFROM "Order items"')
    assert line == 2
    assert message.endswith('GRANT SELECT ON "Order items" TO check_reader')


@pytest.mark.parametrize(
    ("sql", "properties"),
    [
        ("SELECT id FROM item WHERE (%(sku)s::text IS NULL OR sku = %(sku)s)", {"sku": TEXT}),
        ("SELECT id FROM item WHERE id = %(n)s LIMIT 5", {"n": {"type": "integer"}}),
        ("SELECT id FROM item WHERE price > %(n)s", {"n": {"type": "number"}}),
        ("SELECT id FROM item WHERE day = %(d)s", {"d": {"type": "string", "format": "date"}}),
        ("SELECT id FROM item WHERE at > %(d)s", {"d": {"type": "string", "format": "date"}}),
        ("SELECT id FROM item WHERE kind = %(k)s", {"k": {"enum": ["good", "bad"]}}),
        ("SELECT id FROM item WHERE extra @> %(e)s", {"e": {"type": "object"}}),
        (
            "SELECT id FROM item WHERE tags && %(t)s",
            {"t": {"type": "array", "items": {"type": "string"}}},
        ),
        ("SELECT id FROM item WHERE is_new = %(b)s", {"b": {"type": "boolean"}}),
        ("SELECT left(sku, %(n)s::int) AS name FROM item", {"n": {"type": "integer"}}),
        ("SELECT 1 AS one", {}),
    ],
)
def test_what_would_work_in_a_live_call_is_let_through(findings, sql, properties):
    assert findings(sql, **properties) == []


def test_a_scan_of_a_large_table_is_a_warning_and_one_by_its_key_is_not(findings):
    ((_, _, message, is_warning),) = findings("SELECT id FROM large WHERE name = 'n5'")
    assert (message, is_warning) == (
        "reads all of large (about 10100 rows); is an index missing?",
        True,
    )
    assert findings("SELECT name FROM large WHERE id = %(n)s", n={"type": "integer"}) == []


def test_a_role_that_could_write_is_a_warning(postgres_server, reader_url):
    ((mistake, is_warning),) = [
        (f.mistake, f.is_warning) for f in live.examine(postgres_server.url, "default", [])
    ]
    assert (mistake.file, is_warning) == ("DATABASE_URL", True)
    assert "the role postgres is a superuser" in mistake.message
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE ROLE check_writer LOGIN PASSWORD 'w'")
        admin.execute("GRANT INSERT ON orders TO check_writer")
    writer = postgres_server.url.replace("postgres@", "check_writer:w@", 1)
    ((mistake, _),) = [(f.mistake, f.is_warning) for f in live.examine(writer, "crm", [])]
    assert mistake.file == "DATABASE_URL_CRM"
    assert "check_writer may write to 1 table;" in mistake.message
    assert list(live.examine(reader_url, "default", [])) == []


def test_a_database_that_is_down_is_named_without_its_address(free_port):
    with pytest.raises(Unavailable) as away:
        list(live.examine(f"postgresql://u:secret@127.0.0.1:{free_port()}/d", "default", []))
    assert "secret" not in str(away.value)
