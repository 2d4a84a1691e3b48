"""Row-level security policies: which bound values each reads, and what is wrong with it."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from db.lint.functions import functions
from db.transaction import BOUND

_SETTING = re.compile(rf"current_setting\('{re.escape(BOUND)}([^']*)'(?:::text)?(, true)?", re.I)
_INITPLAN = re.compile(r"\(\s*SELECT\b", re.IGNORECASE)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)


@dataclass(frozen=True)
class Policy:
    """
    One policy for reading: of which table (its OID), and the condition as Postgres writes it.

    `applies`: it is for the role that queries. `columns` are those of the table that it names;
    `is_indexed` when one of them leads an index. `helpers` are the functions that it calls, in SQL.
    """

    name: str
    table: int
    table_name: str
    is_permissive: bool
    applies: bool
    condition: str
    columns: Sequence[str]
    is_indexed: bool
    helpers: str = ""

    @property
    def settings(self) -> frozenset[str]:
        """The names of bound values that it reads, in lower case."""
        text = f"{self.condition}\n{self.helpers}"
        return frozenset(found[1].lower() for found in _SETTING.finditer(text))

    def problems(self, bound: Collection[str]) -> Iterator[tuple[str, bool]]:
        """
        Mistakes for a tool that binds *bound*; each with whether it is only a warning.
        """
        known = {name.lower() for name in bound}
        where = f"policy {self.name} of {self.table_name}"
        for name in sorted(self.settings - known):
            listed = ", ".join(f"{BOUND}{n}" for n in bound)
            text = f"{where} reads {BOUND}{name}, which the tool does not bind; it binds {listed}"
            yield text, False
        for found in _SETTING.finditer(self.condition):
            if not found[2]:
                advice = f"write current_setting('{BOUND}{found[1]}', true)"
                yield f"{where} fails where nothing is bound; {advice}", True
            if not _is_read_once(self.condition, found.start()):
                advice = f"write (SELECT nullif(current_setting('{BOUND}{found[1]}', true), ''))"
                yield f"{where} reads {BOUND}{found[1]} for each row; {advice}", True
        if self.settings and self.columns and not self.is_indexed:
            listed = " or ".join(self.columns)
            yield f"{where} reads all of {self.table_name}: no index begins with {listed}", True


def of_tables(connection: psycopg.Connection[Any], oids: Sequence[int]) -> list[Policy]:
    """The policies for SELECT of these tables."""
    rows = connection.execute(_POLICIES, [list(oids)]).fetchall()
    return [_with_helpers(connection, Policy(*row)) for row in rows]


def _with_helpers(connection: psycopg.Connection[Any], policy: Policy) -> Policy:
    called = [function for _, _, function in functions(connection, policy.condition)]
    texts = [text for function in called for text in (function.definition, function.source)]
    return replace(policy, helpers="\n".join(texts))


def _is_read_once(condition: str, at: int) -> bool:
    """Whether a call stands in a sub-select without FROM, which Postgres evaluates once."""
    opened: list[int] = []
    for place, character in enumerate(condition[:at]):
        if character == "(":
            opened.append(place)
        elif character == ")" and opened:
            opened.pop()
    for place in opened:
        if _INITPLAN.match(condition, place):
            inside = condition[place : _closing(condition, place)]
            return not _FROM.search(inside)
    return False


def _closing(text: str, opening: int) -> int:
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    return len(text)


# One row is one policy for SELECT.
_POLICIES = """
WITH named AS (
    SELECT p.*, ARRAY(
        SELECT DISTINCT a.attnum
        FROM pg_depend AS d
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p.polrelid
          AND d.refobjsubid > 0) AS numbers
    FROM pg_policy AS p
    WHERE p.polrelid = ANY (%s) AND p.polcmd IN ('r', '*')
)
SELECT n.polname::text, n.polrelid::bigint, n.polrelid::regclass::text, n.polpermissive,
       EXISTS (SELECT FROM unnest(n.polroles) AS role
               WHERE CASE WHEN role = 0 THEN true ELSE pg_has_role(role, 'USAGE') END),
       coalesce(pg_get_expr(n.polqual, n.polrelid), ''),
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = n.polrelid AND a.attnum = ANY (n.numbers) ORDER BY a.attnum),
       EXISTS (SELECT FROM pg_index AS i
               WHERE i.indrelid = n.polrelid AND i.indisvalid AND i.indpred IS NULL
                 AND i.indkey[0] = ANY (n.numbers))
FROM named AS n
ORDER BY 1
"""
