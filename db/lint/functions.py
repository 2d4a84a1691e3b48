"""Find database functions that a statement calls, also indirectly, and that could bypass `bind`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from db.catalog.calls import UNDOING, Token, called, tokens
from db.catalog.statement import bare
from db.transaction import BOUND

_SETS = re.compile(
    rf"\b(?:SET|RESET)\s+(?:(?:LOCAL|SESSION)\s+)?(?:{re.escape(BOUND)}|ALL\b)",
    re.IGNORECASE,
)
_SETS_ROLE = re.compile(
    r"\b(?:RESET\s+ROLE\b|SET\s+(?:LOCAL|SESSION)\s+ROLE\b|SET\s+ROLE\b(?!\s*=)"
    r"|SET\s+(?:LOCAL\s+|SESSION\s+)?SESSION\s+AUTHORIZATION\b)",
    re.IGNORECASE,
)
_EXECUTES = re.compile(r"\bEXECUTE\b", re.IGNORECASE)
_READ = ("sql", "plpgsql", "internal", "c")
"""Languages whose sources are read, and those of the server itself and of its extensions."""


@dataclass(frozen=True)
class Function:
    """
    One function that comes with no server.

    `definition` is the whole of it in SQL, for an aggregate the functions that it calls; `source`
    its body where that is text, else "". `settings` hold while it runs. `twins` are functions of
    the server with the same code, of an internal one.
    """

    signature: str
    is_definer: bool
    language: str
    definition: str
    source: str
    settings: Sequence[str]
    twins: Sequence[str]

    def problems(self, by: str) -> Iterator[tuple[str, bool]]:
        """
        How it could undo what is bound; each with whether it is only unknown.

        Args:
            by: The function that calls it, "" for the statement itself.
        """
        where = f"{self.signature}, which {by} calls," if by else self.signature
        if self.is_definer:
            yield f"{where} is SECURITY DEFINER: it reads with the rights of its owner", False
        names = [name for text in (self.definition, self.source) for _, name in called(text)]
        if inside := sorted({n for n in [*names, *self.twins] if UNDOING.fullmatch(n)}):
            yield f"{where} calls {', '.join(inside)}(), which could undo what is bound", False
        body = bare(self.source)
        is_set = any(setting.lower().startswith(BOUND) for setting in self.settings)
        if is_set or _SETS.search(body):
            yield f"{where} sets {BOUND}…, which undoes what is bound", False
        if _SETS_ROLE.search(body):
            yield f"{where} sets the role, and reads with the rights of another", False
        if self.language == "plpgsql" and _EXECUTES.search(body):
            yield f"{where} runs SQL that it puts together, which this check cannot read", True
        elif self.language not in _READ:
            yield f"{where} is written in {self.language}, which this check cannot read", True


def functions(connection: psycopg.Connection[Any], sql: str) -> Iterator[tuple[int, str, Function]]:
    """
    Each function that *sql* calls, by its name, an operator or as a column of a row.

    Returns:
        The character in *sql*, and the function that calls it, "" for *sql* itself.
    """
    level = [(token, "") for token in tokens(sql)]
    known: set[tuple[str, str]] = set()
    found: set[str] = set()
    while level:
        new: dict[tuple[str, str], tuple[Token, str]] = {}
        for token, by in level:
            if token.kind != "name" and (token.kind, token.text) not in known:
                new.setdefault((token.kind, token.text), (token, by))
        known |= new.keys()
        kinds, names = [kind for kind, _ in new], [name for _, name in new]
        level = []
        for kind, name, *row in connection.execute(_FUNCTIONS, [kinds, names]).fetchall():
            function, (token, by) = Function(*row), new[kind, name]
            if function.signature in found:
                continue
            found.add(function.signature)
            yield token.at, by, function
            for text in (function.definition, function.source):
                level += [
                    (inner._replace(at=token.at), function.signature) for inner in tokens(text)
                ]


# One row is one function that comes with no server, and the token by which it is called.
_FUNCTIONS = """
SELECT t.kind, t.name, p.oid::regprocedure::text, p.prosecdef, l.lanname::text,
       CASE WHEN p.prokind = 'a' THEN
         coalesce((SELECT format('%%s() %%s()', a.aggtransfn, a.aggfinalfn)
                   FROM pg_aggregate AS a
                   WHERE a.aggfnoid = p.oid), '')
       ELSE pg_get_functiondef(p.oid) END,
       p.prosrc, coalesce(p.proconfig, '{}'),
       ARRAY(SELECT s.proname::text
             FROM pg_proc AS s
             WHERE l.lanname = 'internal' AND s.prosrc = p.prosrc
               AND s.pronamespace = 'pg_catalog'::regnamespace)
FROM unnest(%s::text[], %s::text[]) AS t (kind, name)
JOIN pg_proc AS p ON CASE t.kind
    WHEN 'operator' THEN p.oid IN (SELECT o.oprcode FROM pg_operator AS o WHERE o.oprname = t.name)
    WHEN 'attribute' THEN p.proname = t.name AND p.pronargs = 1
      AND EXISTS (SELECT FROM pg_type AS y WHERE y.oid = p.proargtypes[0] AND y.typtype = 'c')
    ELSE p.proname = t.name END
JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
ORDER BY 3
"""
