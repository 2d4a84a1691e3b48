"""What only the live database can say of a tool: its statement is prepared and planned, not run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer

from db.catalog import Tool, statement
from db.catalog.lines import line_of
from db.errors import Mistake, Unavailable
from db.lint.fits import fits
from db.lint.samples import samples
from db.pool import CONNECT_TIMEOUT_S, session_options
from runtime.settings import database_setting

LARGE_TABLE_ROWS = 10_000
"""A sequential scan of more rows than this is worth a warning."""

_NAME = b"tools_check"


@dataclass(frozen=True)
class Finding:
    """A mistake, or only a warning, that the live database shows."""

    mistake: Mistake
    is_warning: bool = False


def examine(url: str, name: str, tools: Sequence[Tool]) -> Iterator[Finding]:
    """
    Everything that one database has against its tools and the role that asks.

    Args:
        name: Of the database, as tools have it.

        tools: Those that ask this database.

    Raises:
        SettingsError: The URL cannot be read.

        Unavailable: The database cannot be reached.
    """
    with _connected(url, name) as connection:
        yield from _role(connection, name)
        for tool in tools:
            yield from _tool(connection, tool)


@contextmanager
def _connected(url: str, name: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,  # DEALLOCATE below would take psycopg's own statements, too
            connect_timeout=CONNECT_TIMEOUT_S,
            options=session_options(url, name) + " -c plan_cache_mode=force_generic_plan",
            client_encoding="utf8",
            application_name="toolworker",
        ) as connection:
            yield connection
    except psycopg.OperationalError as exc:
        raise Unavailable(f"Postgres cannot be reached: {type(exc).__name__}") from exc


def _role(connection: psycopg.Connection[Any], name: str) -> Iterator[Finding]:
    row = connection.execute(_ROLE).fetchone()
    role, is_superuser, writable = row if row else ("", False, 0)
    setting = database_setting(name)
    message = None
    if is_superuser:
        message = f"the role {role} is a superuser"
    elif writable:
        message = f"the role {role} may write to {writable} table{'' if writable == 1 else 's'}"
    if message:
        advice = "; give tools a role that may only SELECT (docs/tools.md)"
        yield Finding(Mistake(setting, 1, message + advice), is_warning=True)


def _tool(connection: psycopg.Connection[Any], tool: Tool) -> Iterator[Finding]:
    statement = _Statement(connection, tool)
    found = False
    for types in statement.variants():
        mistake = statement.prepare(types)
        if mistake is not None:
            yield Finding(mistake)
            return
        for mistake in statement.misfits(types):
            found = True
            yield Finding(mistake)
        if found:
            return
    yield from statement.outcome()


class _Statement:
    """One tool's statement, as the server sees it."""

    def __init__(self, connection: psycopg.Connection[Any], tool: Tool) -> None:
        self._connection, self._tool = connection, tool
        self._names: list[str] = []
        # server's character to ours: where each placeholder was replaced by $1, $2 ...
        self._moved = [(0, 0)]
        text, at = "", 0
        for found in statement.placeholders(tool.statement):
            text += tool.statement[at : found.at]
            at = found.end
            if found.name:
                if found.name not in self._names:
                    self._names.append(found.name)
                text += f"${self._names.index(found.name) + 1}"
            else:
                text += "%"
            self._moved.append((len(text), at))
        self._text = text + tool.statement[at:]

    def variants(self) -> Iterator[list[int]]:
        """The parameter types that psycopg sends: small values, large ones, some left out."""
        seen = []
        for values in samples(self._tool.parameters):
            transformer = Transformer(self._connection)
            given = [values.get(name) for name in self._names]
            transformer.dump_sequence(given, [PyFormat.AUTO] * len(given))
            types = list(transformer.types or ())
            if types not in seen:
                seen.append(types)
                yield types

    def prepare(self, types: list[int]) -> Mistake | None:
        """Parse the statement with these types; what the server has against it."""
        with self._connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        server = self._connection.pgconn
        result = server.prepare(_NAME, self._text.encode(), types)
        if result.status == psycopg.pq.ExecStatus.COMMAND_OK:
            return None
        return self._said(psycopg.errors.error_from_result(result, "utf-8"))

    def misfits(self, types: list[int]) -> Iterator[Mistake]:
        """Text that is bound to what is no text, without a schema that makes it fit."""
        described = self._connection.pgconn.describe_prepared(_NAME)
        properties = self._tool.parameters.get("properties", {})
        for number, name in enumerate(self._names):
            if types[number] == 0:
                wanted = self._type_name(described.param_type(number))
                advice = fits(properties.get(name, {}), wanted)
                if advice:
                    at = self._tool.statement.find(f"%({name})s")
                    yield self._mistake(f"{name} is compared as {wanted}: {advice}", at)

    def outcome(self) -> Iterator[Finding]:
        """What the columns are called, and how the rows are found."""
        described = self._connection.pgconn.describe_prepared(_NAME)
        columns = [(described.fname(i) or b"").decode() for i in range(described.nfields)]
        for column in sorted({c for c in columns if columns.count(c) > 1}):
            message = f"two columns are called {column}; only the last would be in the output"
            yield Finding(self._mistake(message))
        nulls = ", ".join(["NULL"] * len(self._names))
        arguments = f"({nulls})" if nulls else ""
        try:
            plan = self._connection.execute(
                f"EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE {_NAME.decode()}{arguments}".encode()
            ).fetchone()
        except psycopg.Error as exc:
            yield Finding(self._said(exc))
            return
        for schema, table in _scanned(plan[0] if plan else []):
            row = self._connection.execute(_ROWS, [schema, table]).fetchone()
            if row and row[0] > LARGE_TABLE_ROWS:
                message = f"reads all of {table} (about {row[0]:.0f} rows); is an index missing?"
                yield Finding(self._mistake(message), is_warning=True)

    def _type_name(self, oid: int) -> str:
        row = self._connection.execute(_TYPE, [oid]).fetchone()
        return str(row[0]) if row else ""

    def _said(self, error: psycopg.Error) -> Mistake:
        text = f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})"
        if error.sqlstate in ("42P08", "42P18"):  # the type of a parameter cannot be told
            text += self._cast(str(error.diag.message_primary))
        elif error.diag.message_hint:
            text += f"; {error.diag.message_hint}"
        at = int(error.diag.statement_position or 1) - 1
        there, here = max(place for place in self._moved if place[0] <= at)
        return self._mistake(text, here + at - there)

    def _cast(self, message: str) -> str:
        number = message.rpartition("$")[2]
        if not number.isdecimal():
            return ""
        name = self._names[int(number) - 1]
        schema = self._tool.parameters.get("properties", {}).get(name, {})
        return f"; write %({name})s::{_cast_of(schema)} where it is not compared with a column"

    def _mistake(self, message: str, at: int = 0) -> Mistake:
        line = line_of(self._tool.statement, max(at, 0))
        return Mistake(f"{self._tool.name}/query.sql", line, message)


def _cast_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "string" in kinds:
        return _FORMAT_CASTS.get(str(schema.get("format")), "text")
    return next((_CASTS[k] for k in kinds if k in _CASTS), "text")


def _scanned(plan: Any) -> Iterator[tuple[str, str]]:
    """Schema and name of each table that is read from end to end."""
    if isinstance(plan, str):
        plan = json.loads(plan)
    if isinstance(plan, list):
        for part in plan:
            yield from _scanned(part)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan":
            yield plan["Schema"], plan["Relation Name"]
        for key in ("Plan", "Plans"):
            yield from _scanned(plan.get(key))


_CASTS = {"integer": "bigint", "number": "numeric", "boolean": "boolean", "object": "jsonb"}
_FORMAT_CASTS = {"date": "date", "date-time": "timestamptz", "time": "timetz", "uuid": "uuid"}
_ROLE = """
SELECT current_user, r.rolsuper,
  (SELECT count(*) FROM pg_class AS c
   WHERE c.relkind IN ('r', 'p') AND c.relnamespace::regnamespace::text
     NOT IN ('pg_catalog', 'information_schema')
     AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
FROM pg_roles AS r
WHERE r.rolname = current_user
"""
_TYPE = "SELECT format_type(%s, NULL)"
_ROWS = """
SELECT c.reltuples
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = %s
"""
