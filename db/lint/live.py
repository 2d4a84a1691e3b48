"""Check tools on a live database: prepare, plan and try each statement."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from db.catalog import Tool
from db.causes import cause
from db.connection import connect_options
from db.errors import Mistake, Unavailable
from db.lint.finding import Finding
from db.lint.rows import Rowcheck
from db.lint.samples import Sample, calls
from db.lint.statement import Statement, scanned
from db.lint.tries import TRIES_S, Tried, failure, run_samples, short
from db.values import bound
from runtime.settings import database_setting

LARGE_TABLE_ROWS = 10_000
"""A sequential scan of more rows than this is worth a warning."""


def examine(
    url: str, name: str, tools: Sequence[Tool], *, tries_s: float = TRIES_S
) -> Iterator[Finding]:
    """
    Find what fails or is unsafe when one database runs its tools, and in the role that queries.

    Each tool's statement is prepared and planned, and run with samples of what its schema takes,
    each in a read-only transaction that is rolled back.

    Args:
        name: Of the database, as tools have it.

        tools: Those that query this database.

        tries_s: Seconds for the samples of one tool; those that need more are a warning.

    Raises:
        SettingsError: The URL cannot be read.

        Unavailable: The database cannot be reached.
    """
    with _connected(url, name) as connection:
        yield from _role(connection, name)
        row = connection.execute(_HAS_POLICIES).fetchone()
    waiting = deque(tools)
    while waiting:
        with _connected(url, name) as connection:
            # a row that is too large, or a server that does not stop in time, closes it
            while waiting and not connection.closed:
                tool, has_policies = waiting.popleft(), bool(row and row[0])
                yield from _tool(connection, tool, tries_s, has_policies=has_policies)


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


def _tool(
    connection: psycopg.Connection[Any], bound_tool: Tool, tries_s: float, *, has_policies: bool
) -> Iterator[Finding]:
    # its statement is tried with bound values as with any others
    tool = _unbound(bound_tool) if bound_tool.bind else bound_tool
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
    planned = None
    for types, sample in _variants(statement, tried, failed):
        error = statement.prepare(types)
        if error is None:
            error = statement.declare(types)
            if error is not None:
                yield Finding(statement.refused_to_write(error))
                return
            plans.append(_planned(connection, statement, types, sample))
            if planned is None and "" not in plans[-1]:  # else that is reported below
                planned = types
        elif sample.name is None:
            yield Finding(statement.refused(error))
            return
        else:
            found = Finding(failure(connection, tool, statement, sample, error))
            failed.setdefault(sample.name, found)
    yield from _columns(statement)
    if planned is not None and (bound_tool.bind or has_policies):
        # before the samples, which may close the connection
        yield from Rowcheck(connection, bound_tool, statement, planned).findings()
    yield from run_samples(
        connection, tool, statement, tried, failed, tries_s, tuple(bound_tool.bind)
    )
    warned: dict[str, Finding] = {}
    for plan in plans:
        warned = {**plan, **warned}  # of one table the first, which is of usual arguments
    yield from (finding for finding in warned.values() if finding.is_warning or not failed)


def _unbound(tool: Tool) -> Tool:
    """The same tool with its bound properties as required arguments, in its examples, too."""
    required = dict.fromkeys([*tool.parameters.get("required", ()), *tool.bind])
    parameters = {**tool.parameters, "required": list(required)}
    examples = tuple(map(_with_bound, tool.examples))
    return replace(tool, bind={}, parameters=parameters, examples=examples)


def _with_bound(example: Mapping[str, Any]) -> Mapping[str, Any]:
    """An example whose bound values are arguments."""
    return {**example, "arguments": {**example["arguments"], **example.get("bound", {})}}


def _variants(
    statement: Statement, tried: Sequence[Tried], failed: dict[str | None, Finding]
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
            value = short(json.dumps(sample.value, ensure_ascii=False))
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
                text += f" when {sample.name} is {short(json.dumps(sample.value))}, by its type"
            found[table] = Finding(statement.mistake(text), is_warning=True)
    return found


_HAS_POLICIES = """
SELECT EXISTS (SELECT FROM pg_policy
               WHERE pg_get_expr(polqual, polrelid) LIKE '%current_setting(''toolworker.%')
"""
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
