"""Check on a live database that a tool with bound arguments reaches no rows of other callers."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import psycopg

from db.catalog import Tool
from db.catalog.calls import undoing
from db.errors import ToolError
from db.lint import policies
from db.lint.finding import Finding
from db.lint.functions import functions
from db.lint.policies import Policy
from db.lint.relations import Relation, place_of, relations
from db.lint.statement import Statement
from db.transaction import BOUND, read
from db.transaction import Statement as Query
from db.values import setting_text

TRY_MS = 1_000
"""For the rows of one table under one value."""
_COMPARED = 1_000
_ROW_BYTES = 1_000_000

Rows = frozenset[tuple[bytes | None, ...]]


class Rowcheck:
    """
    The checks of one tool on one connection.

    Args:
        statement: The tool's, with its placeholders.

        types: Of its parameters, with which it can be planned.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        tool: Tool,
        statement: Statement,
        types: Sequence[int],
    ) -> None:
        self._connection, self._tool, self._statement = connection, tool, statement
        self._relations = relations(connection, statement.locked(types), statement.named(types))
        self._policies = policies.of_tables(connection, [r.oid for r in self._relations])

    def findings(self) -> Iterator[Finding]:
        """Mistakes, which let a caller reach other rows, and warnings."""
        if not self._tool.bind:
            yield from self._unbound()
            return
        yield from self._functions()
        yield from self._presets()
        for relation in self._relations:
            for message, is_warning in self._relation(relation):
                yield self._at(relation, message, is_warning=is_warning)
        yield from self._narrowing()

    def _unbound(self) -> Iterator[Finding]:
        for relation in self._relations:
            names = {n for p in self._of(relation) if p.applies for n in p.settings}
            if names and relation.is_filtered:
                listed = ", ".join(f"{BOUND}{name}" for name in sorted(names))
                message = f"a policy of {relation.name} reads {listed}, which this tool does not"
                yield self._at(relation, f"{message} bind: it finds nothing", is_warning=True)

    def _functions(self) -> Iterator[Finding]:
        """Functions of the database that the statement or a view of it calls."""
        for relation in self._relations:
            for _, name in undoing(relation.definition):
                text = f"a view of it calls {name}(), which could undo what is bound"
                yield Finding(self._statement.mistake(text))
        texts = [self._tool.statement, *(r.definition for r in self._relations if r.definition)]
        for text in texts:
            for at, by, function in functions(self._connection, text):
                for message, is_warning in function.problems(by):
                    place = at if text is self._tool.statement else 0
                    mistake = self._statement.mistake(message, place)
                    yield Finding(mistake, is_warning=is_warning)

    def _presets(self) -> Iterator[Finding]:
        for name in self._tool.bind:
            row = self._connection.execute(_SETTING, [f"{BOUND}{name}"]).fetchone()
            if row and row[0]:
                message = f"{BOUND}{name} is set before any call, by ALTER ROLE or ALTER DATABASE"
                yield Finding(self._statement.mistake(f"{message}: RESET it there"))

    def _relation(self, relation: Relation) -> Iterator[tuple[str, bool]]:
        found = self._of(relation)
        yield from ((message, False) for message in relation.bypasses(self._relations))
        if not found:
            return
        if not relation.has_row_security:
            advice = f"ALTER TABLE {relation.name} ENABLE ROW LEVEL SECURITY"
            yield f"{relation.name} has policies that are off; write {advice}", False
            return
        reading = [policy for policy in found if policy.applies]
        if not any(policy.is_permissive for policy in reading):
            yield f"{relation.name} has no policy for this role, which sees no row of it", False
            return
        for policy in reading:
            yield from policy.problems(self._tool.bind)
        yield from self._filtered(relation)

    def _filtered(self, relation: Relation) -> Iterator[tuple[str, bool]]:
        """Whether a table shows other rows for other values, and none for none."""
        if any(r.is_exempt for r in self._relations):
            return  # reported; nothing is filtered for such a role
        row = self._connection.execute(_MAY_READ, [relation.oid]).fetchone()
        if not (row and row[0]):
            text = f"{relation.name}'s policies were not tried"
            yield f"{text}: the role may not read all of its columns", True
            return
        empty = dict.fromkeys(self._tool.bind, "")
        for what, bound in (("not set", {}), ("empty", empty)):
            rows, error = self._rows(relation, bound)
            names = ", ".join(f"{BOUND}{name}" for name in self._tool.bind)
            if rows:
                yield f"{relation.name} shows rows while {names} is {what}", False
            elif error:
                advice = f"write (SELECT nullif(current_setting('{BOUND}…', true), ''))"
                yield f"a policy of {relation.name} fails while {names} is {what}; {advice}", True
        values = self._examples()
        if len(values) < 2:
            yield 'give examples with two different "bound", to try the policies with', True
            return
        seen = [rows for bound in values if (rows := self._rows(relation, bound)[0])]
        if not seen:
            yield f"{relation.name} shows no row for any example's bound values", True
        for one, other in combinations(seen, 2):
            if one == other:
                yield f"{relation.name} is not filtered: two bound values see the same rows", False
                return
            if one & other:
                text = f"{relation.name} shows {len(one & other)} rows to two bound values"
                yield f"{text}; are they everyone's?", True
                return

    def _examples(self) -> list[dict[str, str]]:
        """The different bound values of the tool's examples, as settings."""
        found: list[dict[str, str]] = []
        for example in self._tool.examples:
            bound = {name: setting_text(v) for name, v in example.get("bound", {}).items()}
            if set(bound) == set(self._tool.bind) and bound not in found:
                found.append(bound)
        return found[:4]

    def _rows(self, relation: Relation, bound: Mapping[str, str]) -> tuple[Rows, bool]:
        """Where the first rows lie that are visible, and whether the table cannot be read so."""
        # the name as Postgres itself writes it
        query = Query(f"SELECT tableoid, ctid FROM {relation.name} LIMIT {_COMPARED}", ())  # noqa: S608
        try:
            rows = read(
                self._connection,
                query,
                (),
                timeout_ms=TRY_MS,
                max_rows=_COMPARED,
                max_bytes=_ROW_BYTES,
                bound=bound,
            )
        except (psycopg.errors.QueryCanceled, ToolError):
            return frozenset(), False
        except psycopg.Error:
            return frozenset(), True
        return frozenset(map(tuple, rows.values)), False

    def _narrowing(self) -> Iterator[Finding]:
        """Whether each bound value narrows the rows at all, and whether Postgres sees to it."""
        working = [p for r in self._relations if r.is_filtered for p in self._of(r) if p.applies]
        read_names = {name for policy in working for name in policy.settings}
        for name in self._tool.bind:
            if name not in self._statement.names and name.lower() not in read_names:
                message = f"nothing narrows the rows by {name}: neither the statement nor a policy"
                yield Finding(self._statement.mistake(f"{message} reads it"))
        if not working and self._relations:
            message = "no table that it reads has a policy; its statement alone narrows the rows"
            yield Finding(self._statement.mistake(f"{message} (docs/security.md)"), is_warning=True)

    def _of(self, relation: Relation) -> list[Policy]:
        return [policy for policy in self._policies if policy.table == relation.oid]

    def _at(self, relation: Relation, message: str, *, is_warning: bool) -> Finding:
        at = place_of(self._tool.statement, relation.name)
        return Finding(self._statement.mistake(message, at), is_warning=is_warning)


_MAY_READ = "SELECT has_table_privilege(%s::bigint::oid, 'SELECT')"
_SETTING = "SELECT current_setting(%s, true)"
