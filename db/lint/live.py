"""What only the live database knows of a tool: its statement is prepared, planned and tried."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from db.catalog import Tool
from db.catalog.subschemas import resolved
from db.causes import cause
from db.connection import connect_options
from db.errors import Mistake, Unavailable
from db.lint import advice
from db.lint.finding import Finding
from db.lint.samples import Sample, calls
from db.lint.statement import Statement, scanned
from db.values import bound
from runtime.settings import database_setting

LARGE_TABLE_ROWS = 10_000
"""A sequential scan of more rows than this is worth a warning."""
TRY_MS = 250
"""For one sample; a statement that takes longer has passed all that is tried here."""
TRIES_S = 5.0
"""For all samples of one tool."""
_LARGEST_SMALL = 2**31 - 1


def examine(url: str, name: str, tools: Sequence[Tool]) -> Iterator[Finding]:
    """
    Everything that one database has against its tools and the role that queries it.

    Each tool's statement is prepared and planned, and run with samples of what its schema takes,
    each in a read-only transaction that is rolled back.

    Args:
        name: Of the database, as tools have it.

        tools: Those that query this database.

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
        with psycopg.connect(url, **connect_options(url, name)) as connection:
            yield connection
    except psycopg.OperationalError as exc:
        raise Unavailable(cause(exc)) from exc


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
        advised = "; give tools a role that may only SELECT (docs/tools.md)"
        yield Finding(Mistake(setting, 1, message + advised), is_warning=True)


def _tool(connection: psycopg.Connection[Any], tool: Tool) -> Iterator[Finding]:
    statement = Statement(connection, tool)
    tried = [
        (sample, [bound(values[name]) for name in statement.names])
        for sample in calls(tool)
        for values in [tool.validator.values(sample.arguments)]
    ]
    if not tried:
        text = "no arguments were found that the schema takes; add one to examples.json"
        yield Finding(Mistake(f"{tool.name}/examples.json", 1, text), is_warning=True)
        tried = [(Sample(None, None, "{}"), [None] * len(statement.names))]
    failed: dict[str | None, Finding] = {}
    plans = []
    for types, sample in _variants(statement, tried, failed):
        error = statement.prepare(types)
        if error is None:
            error = statement.declare(types)
            if error is not None:
                yield Finding(statement.refused_to_write(error))
                return
            plans.append(_planned(connection, statement, types, sample))
        elif sample.name is None:
            yield Finding(statement.refused(error))
            return
        else:
            found = Finding(_with_value(connection, tool, statement, sample, error))
            failed.setdefault(sample.name, found)
    yield from _columns(statement)
    yield from _tries(connection, tool, statement, tried, failed)
    warned: dict[str, Finding] = {}
    for plan in plans:
        warned = {**plan, **warned}  # of one table the first, which is of usual arguments
    yield from (finding for finding in warned.values() if finding.is_warning or not failed)


_Tried = tuple[Sample, list[Any]]


def _variants(
    statement: Statement, tried: Sequence[_Tried], failed: dict[str | None, Finding]
) -> Iterator[tuple[tuple[int, ...], Sample]]:
    """
    The different types of parameters that the samples are sent with, usual ones first.

    A property with an array that is of no single type is noted in *failed*.
    """
    seen = set()
    for sample, values in tried:
        try:
            types = statement.types(values)
        except psycopg.Error as exc:
            value = _short(json.dumps(sample.value, ensure_ascii=False))
            text = f"{sample.name} may be {value}, which is no array of one type: {exc}"
            advised = '; give it "items" with a single "type"'
            at = statement.place_of(sample.name or "")
            failed.setdefault(sample.name, Finding(statement.mistake(text + advised, at)))
            continue
        if types not in seen:
            seen.add(types)
            yield types, sample


def _columns(statement: Statement) -> Iterator[Finding]:
    columns = statement.columns
    for column in sorted({c for c in columns if columns.count(c) > 1}):
        message = f"two columns are called {column}; only the last would be in the output"
        yield Finding(statement.mistake(message))
    if "?column?" in columns:
        number = columns.index("?column?") + 1
        message = f'column {number} has no name and is called "?column?" in the output; write AS'
        yield Finding(statement.mistake(message), is_warning=True)


def _planned(
    connection: psycopg.Connection[Any],
    statement: Statement,
    types: Sequence[int],
    sample: Sample,
) -> dict[str, Finding]:
    """A warning for each large table that is read from end to end, its partitions together."""
    try:
        plan = statement.plan(types)
    except psycopg.Error as exc:
        return {"": Finding(statement.refused(exc))}
    rows: dict[str, float] = {}
    for schema, table in scanned(plan):
        row = connection.execute(_ROWS, [schema, table]).fetchone()
        if row:
            rows[row[0]] = rows.get(row[0], 0) + max(row[1], 0)
    found = {}
    for table, count in rows.items():
        if count > LARGE_TABLE_ROWS:
            text = f"reads all of {table} (about {count:.0f} rows)"
            if sample.name is None:
                text += "; is an index missing?"
            else:
                text += f" when {sample.name} is {_short(json.dumps(sample.value))}, by its type"
            found[table] = Finding(statement.mistake(text), is_warning=True)
    return found


def _tries(
    connection: psycopg.Connection[Any],
    tool: Tool,
    statement: Statement,
    tried: Sequence[_Tried],
    failed: dict[str | None, Finding],
) -> Iterator[Finding]:
    """Run the statement with each sample; one mistake for each property that makes it fail."""
    ends = time.monotonic() + TRIES_S
    for sample, values in tried:
        if sample.name in failed or time.monotonic() > ends:
            continue
        error = statement.run(values, TRY_MS)
        if error is None or _is_answered(sample, error):
            continue
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            failed.clear()
            failed[None] = Finding(statement.refused_to_write(error))
            break
        found = Finding(_with_value(connection, tool, statement, sample, error))
        failed.setdefault(sample.name, found)
        if sample.name is None:
            break
    yield from failed.values()


def _is_answered(sample: Sample, error: psycopg.Error) -> bool:
    """Whether a worker answers such a call with `invalid_arguments`: a number is out of range."""
    if not isinstance(error, psycopg.errors.NumericValueOutOfRange):
        return False
    return _is_large(sample.value)


def _is_large(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_large, value))
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_whole and abs(value) > _LARGEST_SMALL


def _with_value(
    connection: psycopg.Connection[Any],
    tool: Tool,
    statement: Statement,
    sample: Sample,
    error: psycopg.Error,
) -> Mistake:
    said = f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})"
    arguments = json.loads(sample.arguments)
    name = sample.name or _named(statement, error, arguments)
    if name is None:
        return statement.mistake(f"with the arguments {_short(sample.arguments)} it fails: {said}")
    is_given = name in arguments
    value = _short(json.dumps(arguments[name], ensure_ascii=False)) if is_given else "left out"
    schema = resolved(tool.parameters["properties"][name], tool.parameters)
    advised = _labels(connection, error) or advice.for_value(
        str(error.sqlstate),
        str(error.diag.message_primary),
        name,
        arguments.get(name),
        schema,
    )
    text = f"{name} may be {value}, with which it fails: {said}"
    at = statement.place_of(name)
    return statement.mistake(f"{text}; {advised}" if advised else text, at)


def _named(statement: Statement, error: psycopg.Error, arguments: Mapping[str, Any]) -> str | None:
    """The property whose value the server names, or the only one that there is."""
    found = _PARAMETER.search(str(error.diag.context or ""))
    if found and int(found[1]) <= len(statement.names):
        return statement.names[int(found[1]) - 1]
    return next(iter(arguments)) if len(arguments) == 1 else None


_PARAMETER = re.compile(r"parameter \$(\d+)")


def _labels(connection: psycopg.Connection[Any], error: psycopg.Error) -> str:
    """What to write when text is no label of an enum type."""
    text = str(error.diag.message_primary)
    if error.sqlstate != "22P02" or "for enum " not in text:
        return ""
    name = text.partition("for enum ")[2].partition(": ")[0]
    rows = connection.execute(_LABELS, [name]).fetchall()
    return advice.for_enum(name, [row[0] for row in rows])


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}… ({len(text)} characters)"


_ROLE = """
SELECT current_user, r.rolsuper,
  (SELECT count(*) FROM pg_class AS c
   WHERE c.relkind IN ('r', 'p') AND c.relnamespace::regnamespace::text
     NOT IN ('pg_catalog', 'information_schema')
     AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
FROM pg_roles AS r
WHERE r.rolname = current_user
"""
# One row is one table: what it is a partition of, or itself, and its rows as of the last ANALYZE.
_ROWS = """
SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text, c.reltuples
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = %s
"""
_LABELS = """
SELECT e.enumlabel
FROM pg_enum AS e
WHERE e.enumtypid = to_regtype(%s)
ORDER BY e.enumsortorder
"""
