"""`tools check --database` finds what lets a caller bypass the row-level security of tables."""

import json
from itertools import count
from pathlib import Path

import psycopg
import pytest

from db import catalog
from db.errors import CatalogError
from db.lint import live

ONCE = "(SELECT nullif(current_setting('toolworker.customer_id', true), '')::int)"
OWN = f"CREATE POLICY own ON account USING (customer_id = {ONCE});"
ON = "ALTER TABLE account ENABLE ROW LEVEL SECURITY;"
INDEX = "CREATE INDEX ON account (customer_id);"
GRANT = "GRANT SELECT ON ALL TABLES IN SCHEMA SCHEMA_NAME TO rows_reader, rows_bypass, rows_member;"
SOUND = ON + OWN + INDEX
TABLE = """
CREATE TABLE account (number int, customer_id int, state text);
INSERT INTO account SELECT n, n % 10, 'OPEN' FROM generate_series(1, 100) AS n;
"""
ROLES = """
CREATE ROLE rows_owner LOGIN PASSWORD 'p';
CREATE ROLE rows_reader LOGIN PASSWORD 'p';
CREATE ROLE rows_bypass LOGIN PASSWORD 'p' BYPASSRLS;
CREATE ROLE rows_member LOGIN PASSWORD 'p' NOINHERIT IN ROLE rows_owner;
CREATE ROLE rows_other;
"""
SQL = "-- One row is one account.\nSELECT number\nFROM account\nWHERE state = %(state)s"
ROOT = Path(__file__).resolve().parents[2]
_numbers = count(1)


@pytest.fixture(scope="module")
def server_url(postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE rows_check")
        admin.execute(ROLES)
    return postgres_server.url.rpartition("/")[0] + "/rows_check"


@pytest.fixture
def check(patient_database, server_url, tmp_path):
    """Make a schema with `setup` in place of a sound one, and check one tool on it."""

    def check(setup=SOUND, *, sql=SQL, role="rows_reader", after="", bind=True, values=(1, 2)):
        schema = f"rows_{next(_numbers)}"
        with psycopg.connect(server_url) as admin:
            admin.execute(f"CREATE SCHEMA {schema} AUTHORIZATION rows_owner")
            admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC")
            admin.execute(f"SET ROLE rows_owner; SET search_path = {schema}")
            admin.execute(TABLE + setup + GRANT.replace("SCHEMA_NAME", schema))
            admin.execute("RESET ROLE")
            admin.execute(after.replace("SCHEMA_NAME", schema))
        path = tmp_path / "accounts"
        path.mkdir(exist_ok=True)
        properties = {"state": {"type": "string", "enum": ["OPEN"]}}
        if bind:
            properties["customer_id"] = {"type": "integer", "minimum": 1, "maximum": 999}
        parameters = {
            "type": "object",
            "properties": properties,
            "required": ["state"],
            "additionalProperties": False,
        }
        tool = {"name": "accounts", "description": "d", "parameters": parameters}
        tool |= {"bind": {"customer_id": "/context/customer_id"}} if bind else {}
        examples = [
            {"arguments": {"state": "OPEN"}, "output": {"items": [], "total": 0}}
            | ({"bound": {"customer_id": value}} if bind else {})
            for value in values
        ]
        (path / "tool.json").write_text(json.dumps(tool))
        (path / "query.sql").write_text(sql.replace("SCHEMA_NAME", schema))
        (path / "examples.json").write_text(json.dumps(examples))
        login = role if role == "postgres" else f"{role}:p"
        url = server_url.replace("postgres@", f"{login}@", 1)
        url += f"?options=-csearch_path%3D{schema}"
        try:
            tools = list(catalog.load(tmp_path).tools.values())
            found = live.examine(url, "default", tools, tries_s=60)
            return [
                (f"{f.mistake.file}:{f.mistake.line}: {f.mistake.message}", f.is_warning)
                for f in found
                if f.mistake.file != "DATABASE_URL"
            ]
        except CatalogError as refused:
            return [(str(refused), False)]

    return check


def test_a_sound_table_is_let_through(check):
    assert check() == []


def test_a_sound_statement_without_a_policy_is_only_pointed_out(check):
    found = check("", sql=SQL + " AND customer_id = %(customer_id)s")
    assert found == [
        (
            "accounts/query.sql:1: no table that it reads has a policy; its statement alone narrows"
            " the rows (docs/security.md)",
            True,
        )
    ]


def test_the_demos_tools_on_its_tables_are_let_through(reader_url):
    tools = list(catalog.load(ROOT / "tools").tools.values())
    tools.append(catalog.load(ROOT / "ops/dev/demo/tools").tools["list_my_invoices"])
    assert list(live.examine(reader_url, "default", tools)) == []


def test_a_table_with_its_parts_is_let_through(check):
    assert check(PARTS, sql=SQL.replace("account\n", "whole\n"), values=()) == [
        (f'{LINE_3}give examples with two different "bound", to try the policies with', True)
    ]
    inherited = SOUND + CLOSED
    assert check(inherited) == []


def test_a_policy_that_calls_a_function_which_reads_the_setting_is_let_through(check):
    helper = "CREATE FUNCTION caller() RETURNS int STABLE LANGUAGE sql"
    helper += f" AS $${ONCE.removeprefix('(').removesuffix(')')}$$;"
    policy = OWN.replace(ONCE, "(SELECT caller())")
    assert check(helper + ON + policy + INDEX) == []
    other = helper.replace("toolworker.customer_id", "toolworker.customer")
    found = check(other + ON + policy + INDEX)
    words = "policy own of account reads toolworker.customer, which the tool does not bind"
    assert any(words in text and not is_warning for text, is_warning in found), found


def test_a_table_of_which_columns_alone_are_granted_is_not_tried(check):
    alone = "REVOKE SELECT ON SCHEMA_NAME.account FROM rows_reader;"
    alone += " GRANT SELECT (number, state) ON SCHEMA_NAME.account TO rows_reader;"
    words = "account's policies were not tried: the role may not read all of its columns"
    assert check(after=alone) == [(f"accounts/query.sql:3: {words}", True)]


def test_a_view_of_an_owner_with_the_same_policies_is_let_through(check):
    after = (
        "GRANT SELECT ON SCHEMA_NAME.account TO rows_other; SET ROLE rows_owner;"
        " CREATE VIEW SCHEMA_NAME.seen AS SELECT * FROM SCHEMA_NAME.account; RESET ROLE;"
        " ALTER VIEW SCHEMA_NAME.seen OWNER TO rows_other;"
        " GRANT SELECT ON SCHEMA_NAME.seen TO rows_reader;"
    )
    assert check(after=after, sql=SEEN) == []


VIEW = "CREATE VIEW seen AS SELECT * FROM account;"
SEEN = SQL.replace("account\n", "seen\n")
SETTING_VIEW = """
CREATE VIEW seen WITH (security_invoker) AS
SELECT * FROM account WHERE set_config('toolworker.customer_id', '7', true) = '7';
"""
DEFINER = "CREATE FUNCTION steal() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';"
SETTER = (
    "CREATE FUNCTION be(who text) RETURNS text LANGUAGE sql STABLE"
    " AS $$SELECT set_config('toolworker.customer_id', who, true)$$;"
)
PRESET = (
    "CREATE FUNCTION SCHEMA_NAME.quiet() RETURNS int LANGUAGE sql"
    " SET toolworker.customer_id = '7' AS 'SELECT 1';"
)
BY_ANOTHER = "CREATE FUNCTION me() RETURNS text LANGUAGE sql STABLE AS $$SELECT be('7')$$;"
ATOMIC = (
    "CREATE FUNCTION be(who text) RETURNS text LANGUAGE sql STABLE"
    " RETURN set_config('toolworker.customer_id', who, true);"
)
OPERATOR = "CREATE OPERATOR @@> (FUNCTION = be, RIGHTARG = text);"
AGGREGATE = DEFINER.replace("steal()", "step(int, int)")
AGGREGATE += "CREATE AGGREGATE add(int) (SFUNC = step, STYPE = int);"
ALIAS = (
    "CREATE FUNCTION SCHEMA_NAME.quiet(text, text, boolean) RETURNS text"
    " LANGUAGE internal AS 'set_config_by_name';"
)
PROCEDURAL = "CREATE FUNCTION go() RETURNS int LANGUAGE plpgsql AS $$BEGIN %s; RETURN 1; END$$;"
CLOSED = "CREATE TABLE closed () INHERITS (account); INSERT INTO closed VALUES (7, 1);"
KEPT = "CREATE MATERIALIZED VIEW kept AS TABLE seen;"
PARTS = """
CREATE TABLE whole (number int, customer_id int, state text) PARTITION BY LIST (state);
CREATE TABLE open_part PARTITION OF whole FOR VALUES IN ('OPEN');
ALTER TABLE whole ENABLE ROW LEVEL SECURITY;
CREATE INDEX ON whole (customer_id);
"""
PARTS += f"CREATE POLICY own ON whole USING (customer_id = {ONCE});"
ROW_BY_ROW = "nullif(current_setting('toolworker.customer_id', true), '')::int"
LINE_3, LINE_4 = "accounts/query.sql:3: ", "accounts/query.sql:4: "


def _also(calls):
    return f"{SQL} AND {calls} IS NOT NULL"


SEEDED = {
    "superuser": ({"role": "postgres"}, LINE_3, "superuser or has BYPASSRLS", False),
    "bypassrls": ({"role": "rows_bypass"}, LINE_3, "superuser or has BYPASSRLS", False),
    "owner": ({"role": "rows_owner"}, LINE_3, "is the owner of account, or a member", False),
    "member of the owner": ({"role": "rows_member"}, LINE_3, "is the owner of account", False),
    "policies off": ({"setup": OWN + INDEX}, LINE_3, "has policies that are off", False),
    "view of the owner": (
        {"setup": SOUND + VIEW, "sql": SEEN},
        LINE_3,
        "the view seen reads account with the rights of its owner",
        False,
    ),
    "materialized view": (
        {"setup": SOUND + VIEW.replace("VIEW", "MATERIALIZED VIEW"), "sql": SEEN},
        LINE_3,
        "the materialized view seen holds rows of account for everyone",
        False,
    ),
    "partition": (
        {"setup": PARTS, "sql": SQL.replace("account\n", "open_part\n")},
        LINE_3,
        "open_part is a part of whole, whose policies are not for those who read the part",
        False,
    ),
    "a part beside the whole": (
        {
            "setup": PARTS,
            "sql": SQL.replace("account\n", "(TABLE whole UNION ALL TABLE open_part) AS every\n"),
        },
        LINE_3,
        "open_part is a part of whole, whose policies are not for those who read the part",
        False,
    ),
    "a table that inherits": (
        {
            "setup": SOUND + CLOSED,
            "sql": SQL.replace("account\n", "closed\n"),
        },
        LINE_3,
        "closed is a part of account, whose policies are not for those who read the part",
        False,
    ),
    "a materialized view of a view": (
        {
            "setup": SOUND + VIEW + KEPT,
            "sql": SQL.replace("account\n", "kept\n"),
        },
        LINE_3,
        "the materialized view kept holds rows of account for everyone",
        False,
    ),
    "a view of one who sees all": (
        {
            "setup": SOUND + "CREATE POLICY every ON account TO rows_other USING (true);"
            " GRANT SELECT ON account TO rows_other;",
            "after": "SET ROLE rows_owner; CREATE VIEW SCHEMA_NAME.seen AS SELECT * FROM"
            " SCHEMA_NAME.account; RESET ROLE; ALTER VIEW SCHEMA_NAME.seen OWNER TO rows_other;"
            " GRANT SELECT ON SCHEMA_NAME.seen TO rows_reader;",
            "sql": SEEN,
        },
        LINE_3,
        "the view seen reads account with the rights of its owner",
        False,
    ),
    "a second policy for all": (
        {"setup": SOUND + "CREATE POLICY everyone ON account USING (true);"},
        LINE_3,
        "two bound values see the same rows",
        False,
    ),
    "open while nothing is set": (
        {
            "setup": ON
            + INDEX
            + f"CREATE POLICY p ON account USING ({ONCE} IS NULL OR customer_id = {ONCE});"
        },
        LINE_3,
        "shows rows while toolworker.customer_id is not set",
        False,
    ),
    "another setting": (
        {"setup": ON + INDEX + OWN.replace("customer_id',", "customer',")},
        LINE_3,
        "reads toolworker.customer, which the tool does not bind; it binds toolworker.customer_id",
        False,
    ),
    "policy for another role": (
        {"setup": ON + INDEX + OWN.replace("account USING", "account TO rows_other USING")},
        LINE_3,
        "has no policy for this role",
        False,
    ),
    "shared rows": (
        {"setup": SOUND + "CREATE POLICY shared ON account USING (customer_id = 0);"},
        LINE_3,
        "shows rows while toolworker.customer_id is not set",
        False,
    ),
    "rows of two": (
        {
            "setup": SOUND
            + f"CREATE POLICY more ON account USING (customer_id = 0 AND {ONCE} IS NOT NULL);"
        },
        LINE_3,
        "account shows 10 rows to two bound values",
        True,
    ),
    "row by row": (
        {"setup": ON + INDEX + OWN.replace(ONCE, ROW_BY_ROW)},
        LINE_3,
        "reads toolworker.customer_id for each row; write (SELECT nullif(",
        True,
    ),
    "no index": ({"setup": ON + OWN}, LINE_3, "no index begins with customer_id", True),
    "fails where nothing is bound": (
        {"setup": ON + INDEX + OWN.replace("', true)", "')")},
        LINE_3,
        "fails where nothing is bound; write current_setting('toolworker.customer_id', true)",
        True,
    ),
    "fails on the empty setting": (
        {"setup": ON + INDEX + OWN.replace("nullif(", "(").replace(", '')::int", ")::int")},
        LINE_3,
        "fails while toolworker.customer_id is empty",
        True,
    ),
    "set_config": (
        {"sql": _also("set_config('toolworker.customer_id', %(state)s, true)")},
        LINE_4,
        "set_config() could undo what is bound",
        False,
    ),
    "set_config in quotes": (
        {"sql": _also("\"set_config\"('toolworker.customer_id', %(state)s, true)")},
        LINE_4,
        "set_config() could undo what is bound",
        False,
    ),
    "dblink": ({"sql": _also("dblink_get_pkey('x')")}, LINE_4, "dblink_get_pkey() could", False),
    "large object": ({"sql": _also("lo_get(1)")}, LINE_4, "lo_get() could undo", False),
    "file": ({"sql": _also("pg_read_file('/etc/passwd')")}, LINE_4, "pg_read_file() could", False),
    "other sessions": (
        {"sql": _also("pg_terminate_backend(1)")},
        LINE_4,
        "pg_terminate_backend() could undo",
        False,
    ),
    "text as SQL": (
        {"sql": _also("query_to_xml(%(state)s, true, true, '')")},
        LINE_4,
        "query_to_xml() could undo",
        False,
    ),
    "security definer": (
        {"setup": SOUND + DEFINER, "sql": _also("steal()")},
        LINE_4,
        "steal() is SECURITY DEFINER",
        False,
    ),
    "a function that sets": (
        {"setup": SOUND + SETTER, "sql": _also("be(%(state)s)")},
        LINE_4,
        "be(text) calls set_config(), which could undo what is bound",
        False,
    ),
    "a function with a setting": (
        {"after": PRESET, "sql": _also("quiet()")},
        LINE_4,
        "quiet() sets toolworker.…",
        False,
    ),
    "a function that sets, through another": (
        {"setup": SOUND + SETTER + BY_ANOTHER, "sql": _also("me()")},
        LINE_4,
        "be(text), which me() calls, calls set_config(), which could undo what is bound",
        False,
    ),
    "a function that is SQL itself": (
        {"setup": SOUND + ATOMIC, "sql": _also("be(%(state)s)")},
        LINE_4,
        "be(text) calls set_config(), which could undo what is bound",
        False,
    ),
    "an operator": (
        {"setup": SOUND + SETTER + OPERATOR, "sql": _also("(OPERATOR(SCHEMA_NAME.@@>) %(state)s)")},
        LINE_4,
        "be(text) calls set_config(), which could undo what is bound",
        False,
    ),
    "a function as a column": (
        {
            "setup": SOUND + DEFINER.replace("steal()", "total(account)"),
            "sql": _also("account.total"),
        },
        LINE_4,
        "total(account) is SECURITY DEFINER",
        False,
    ),
    "an aggregate": (
        {"setup": SOUND + AGGREGATE, "sql": _also("(SELECT add(1))")},
        LINE_4,
        "step(integer,integer), which add(integer) calls, is SECURITY DEFINER",
        False,
    ),
    "an alias of set_config": (
        {"after": ALIAS, "sql": _also("quiet('toolworker.customer_id', '7', true)")},
        LINE_4,
        "quiet(text,text,boolean) calls set_config(), which could undo what is bound",
        False,
    ),
    "a function with SET": (
        {
            "setup": SOUND + PROCEDURAL % "SET LOCAL toolworker.customer_id = '7'",
            "sql": _also("go()"),
        },
        LINE_4,
        "go() sets toolworker.…, which undoes what is bound",
        False,
    ),
    "a function with RESET": (
        {"setup": SOUND + PROCEDURAL % "RESET ALL", "sql": _also("go()")},
        LINE_4,
        "go() sets toolworker.…, which undoes what is bound",
        False,
    ),
    "a function with SET ROLE": (
        {"setup": SOUND + PROCEDURAL % "SET LOCAL ROLE rows_owner", "sql": _also("go()")},
        LINE_4,
        "go() sets the role, and reads with the rights of another",
        False,
    ),
    "a function that puts SQL together": (
        {
            "setup": SOUND + PROCEDURAL.replace("go()", "dynamic()") % "EXECUTE 'SELECT ' || 1",
            "sql": _also("dynamic()"),
        },
        LINE_4,
        "dynamic() runs SQL that it puts together, which this check cannot read",
        True,
    ),
    "a view that sets": (
        {
            "setup": SOUND + SETTING_VIEW,
            "sql": SEEN,
        },
        "accounts/query.sql:1: ",
        "a view of it calls set_config()",
        False,
    ),
    "nothing reads it": (
        {"setup": INDEX},
        "accounts/query.sql:1: ",
        "nothing narrows the rows by customer_id",
        False,
    ),
    "an unbound tool": (
        {"bind": False},
        LINE_3,
        "a policy of account reads toolworker.customer_id, which this tool does not bind",
        True,
    ),
    "one value alone": ({"values": (1,)}, LINE_3, 'two different "bound"', True),
    "values without rows": ({"values": (77, 78)}, LINE_3, "shows no row for any example's", True),
}


@pytest.mark.parametrize("seeded", SEEDED)
def test_a_seeded_mistake_is_found_at_its_line(check, seeded):
    options, place, words, is_warning = SEEDED[seeded]
    found = check(**options)
    assert any(
        text.startswith(place) and words in text and warned is is_warning for text, warned in found
    ), found
    if not is_warning:
        return
    assert all(warned for _, warned in found), found


def test_a_value_that_is_set_before_any_call_is_found(check, server_url):
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute("ALTER ROLE rows_reader SET toolworker.customer_id = '7'")
        try:
            found = check()
        finally:
            admin.execute("ALTER ROLE rows_reader RESET toolworker.customer_id")
    assert any("is set before any call, by ALTER ROLE" in text for text, _ in found), found
