"""A tool's statement on a live Postgres: prepare, plan and run it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer

from db import transaction
from db.catalog import Tool
from db.catalog.lines import line_of
from db.catalog.schema.subschemas import resolved
from db.catalog.statement import WRITES, bare, placeholders
from db.errors import Mistake, ToolError
from db.lint.advice import cast_of
from db.transaction import read

_NAME = "tools_check"
_MAX_BYTES = 1_000_000
# One row is one relation of this database that the transaction has locked.
_LOCKED = """
SELECT DISTINCT relation::bigint
FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# "permission denied for table inventory", "… for materialized view …", "… for schema crm"
_DENIED = re.compile(r"permission denied for (?:\w+ )?(table|view|schema|function) (.+)")
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_RIGHTS = {"schema": "USAGE ON SCHEMA NAME", "function": "EXECUTE ON FUNCTION NAME"}
RIGHT_MISSING = "42501"
_CURSOR = "DECLARE tools_check NO SCROLL CURSOR FOR "


class Statement:
    """
    One tool's statement on one connection.

    Attributes: `names` (of the placeholders, in the order of `$1`, `$2` …), `columns` (once it has
    been prepared).
    """

    def __init__(self, connection: psycopg.Connection[Any], tool: Tool) -> None:
        self._connection, self._tool = connection, tool
        self.names: list[str] = []
        # server's character to ours: where each placeholder was replaced by $1, $2 ...
        self._moved = [(0, 0)]
        text, at = "", 0
        for found in placeholders(tool.statement):
            text += tool.statement[at : found.at]
            at = found.end
            if found.name:
                if found.name not in self.names:
                    self.names.append(found.name)
                text += f"${self.names.index(found.name) + 1}"
            else:
                text += "%"
            self._moved.append((len(text), at))
        self._statement = transaction.Statement(text + tool.statement[at:], tuple(self.names))
        self._type_names = {0: "unknown"}
        self.columns: list[str] = []

    def types(self, values: Sequence[Any]) -> tuple[int, ...]:
        """The parameter types that psycopg sends for *values*, 0 for text."""
        transformer = Transformer(self._connection)
        transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        return tuple(transformer.types or ())

    def prepare(self, types: Sequence[int]) -> psycopg.Error | None:
        """Parse the statement with these types; the server's error, or None."""
        return self._parsed(self._statement.text, types)

    def declare(self, types: Sequence[int]) -> psycopg.Error | None:
        """Parse it as the query of a cursor, which only reads; the server's error, or None."""
        return self._parsed(_CURSOR + self._statement.text, types)

    def run(
        self,
        values: Sequence[Any],
        timeout_ms: int,
        bound: Mapping[str, str] = transaction.NOTHING_BOUND,
    ) -> psycopg.Error | None:
        """
        Fetch its first row as a worker does, in a read-only transaction that is rolled back.

        Returns:
            The server's error, or None: QueryCanceled when it takes longer than *timeout_ms*,
            and when its first row alone is too large, which closes the connection.

        Raises:
            Unavailable: The server is gone.
        """
        try:
            read(
                self._connection,
                self._statement,
                values,
                timeout_ms=timeout_ms,
                max_rows=1,
                max_bytes=_MAX_BYTES,
                bound=bound,
            )
        except psycopg.Error as exc:
            return exc
        except ToolError as exc:
            return psycopg.errors.QueryCanceled(str(exc))
        return None

    def plan(self, types: Sequence[int]) -> Any:
        """
        How its rows are found, whatever the values, as EXPLAIN has it.

        Raises:
            psycopg.Error: It cannot be planned.
        """
        return self._planned(types, None)

    def locked(self, types: Sequence[int]) -> list[int]:
        """
        The OIDs of all relations that it reads, also through views and policies.

        Postgres locks each of them while it reads and plans a statement, and shows its locks.

        Raises:
            psycopg.Error: It cannot be planned.
        """
        return [int(row) for row in self._planned(types, _LOCKED)]

    def named(self, types: Sequence[int]) -> list[int]:
        """The same without the parts of tables that are read as a whole: planning adds those."""
        return [int(row) for row in self._planned(types, _LOCKED, is_parsed_alone=True)]

    def _planned(
        self, types: Sequence[int], query: str | None, *, is_parsed_alone: bool = False
    ) -> Any:
        """The plan; or what *query* finds in the transaction in which it was made."""
        connection, names = self._connection, ", ".join(map(self._type_name, types))
        nulls = ", ".join(["NULL"] * len(types))
        prepare = f"PREPARE {_NAME} {f'({names})' if names else ''} AS {self._statement.text}"
        explain = f"EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE {_NAME} {f'({nulls})' if nulls else ''}"
        # one transaction, because a pooler may give each to another session; what is prepared
        # outlives it
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            connection.execute(prepare.encode())
            try:
                if not is_parsed_alone:
                    with connection.transaction():
                        row = connection.execute(explain.encode()).fetchone()
                if query is not None:
                    return [found[0] for found in connection.execute(query.encode())]
            finally:
                connection.execute(f"DEALLOCATE {_NAME}")
        plan = row[0] if row else []
        return json.loads(plan) if isinstance(plan, str) else plan

    def mistake(self, message: str, at: int = 0) -> Mistake:
        """A mistake at a character of query.sql."""
        line = line_of(self._tool.statement, max(at, 0))
        return Mistake(f"{self._tool.name}/query.sql", line, message)

    def refused(self, error: psycopg.Error) -> Mistake:
        """The mistake for an error in the statement itself, at the place that the server names."""
        text = f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})"
        if error.sqlstate == RIGHT_MISSING:
            return self._refused_right(text, str(error.diag.message_primary))
        if error.sqlstate in ("42P08", "42P18"):  # the type of a parameter cannot be inferred
            text += self._cast(str(error.diag.message_primary))
        elif error.diag.message_hint:
            text += f"; {error.diag.message_hint}"
        return self.mistake(text, self._place(error, 0))

    def _refused_right(self, text: str, reported: str) -> Mistake:
        """The same when the role may not read something, with what its owner has to run."""
        found = _DENIED.fullmatch(reported)
        if not found:
            return self.mistake(text)
        name, sql = _quoted(found[2]), self._tool.statement
        named = re.search(rf"\b{re.escape(name)}\b", bare(sql), re.IGNORECASE)
        at = sql.find(name) if name[0] == '"' else named.start() if named else -1
        if at < 0:  # the right may be missing to the view's owner
            return self.mistake(f"{text}; a view or function of the statement reads it")
        right = _RIGHTS.get(found[1], "SELECT ON NAME").replace("NAME", name)
        text += f"; let its owner run GRANT {right} TO {_quoted(self._connection.info.user)}"
        return self.mistake(text, at)

    def refused_to_write(self, error: psycopg.Error) -> Mistake:
        """The mistake for a statement that no cursor takes: it writes, or locks rows."""
        text = f"{error.diag.message_primary} (SQLSTATE {error.sqlstate}); a tool only reads"
        if error.diag.statement_position:
            return self.mistake(text, self._place(error, len(_CURSOR)))
        # Postgres 18 names no place for these
        found = WRITES.search(bare(self._tool.statement))
        return self.mistake(text, found.end() if found else 0)

    def place_of(self, name: str) -> int:
        """The character of the first placeholder of a property."""
        found = (p.at for p in placeholders(self._tool.statement) if p.name == name)
        return next(found, 0)

    def _parsed(self, text: str, types: Sequence[int]) -> psycopg.Error | None:
        server = self._connection.pgconn
        server.exec_(b"BEGIN READ ONLY")
        result = server.prepare(b"", text.encode(), types)
        is_sound = result.status == psycopg.pq.ExecStatus.COMMAND_OK
        if is_sound and not text.startswith(_CURSOR):
            described = server.describe_prepared(b"")
            self.columns = [(described.fname(i) or b"").decode() for i in range(described.nfields)]
        server.exec_(b"ROLLBACK")
        return None if is_sound else psycopg.errors.error_from_result(result, "utf-8")

    def _type_name(self, oid: int) -> str:
        if oid not in self._type_names:
            row = self._connection.execute("SELECT format_type(%s, NULL)", [oid]).fetchone()
            self._type_names[oid] = str(row[0]) if row else "unknown"
        return self._type_names[oid]

    def _place(self, error: psycopg.Error, before: int) -> int:
        at = max(int(error.diag.statement_position or 1) - 1 - before, 0)
        there, here = max(place for place in self._moved if place[0] <= at)
        return here + at - there

    def _cast(self, message: str) -> str:
        number = message.rpartition("$")[2]
        if not number.isdecimal():
            return ""
        name = self.names[int(number) - 1]
        parameters = self._tool.parameters
        schema = resolved(parameters.get("properties", {}).get(name, {}), parameters)
        return f"; write %({name})s::{cast_of(schema)} where it is not compared with a column"


def _quoted(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def scanned(plan: Any) -> Iterator[tuple[str, str]]:
    """Schema and name of each table that a plan reads from end to end."""
    if isinstance(plan, list):
        for part in plan:
            yield from scanned(part)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan":
            yield plan["Schema"], plan["Relation Name"]
        for key in ("Plan", "Plans"):
            yield from scanned(plan.get(key))
