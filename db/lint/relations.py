"""Tables and views that a statement reads, and how its role could bypass row-level security."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from db.catalog.statement import bare


@dataclass(frozen=True)
class Relation:
    """
    One table or view that a statement reads, also through another view or a policy.

    `name` is how Postgres writes it; `definition` the query of a view, else "". `is_owned`: the
    role may act as the owner. `is_exempt`: policies are not for this role, a superuser or one with
    BYPASSRLS. `owner_is_exempt`: the same of the owner. `differs_for` are owners, of any relation,
    for whom other policies hold than for the role. `part_of` is a table above it with policies,
    which it inherits from or is a partition of, else "". `covers` is a table with policies that a
    materialized view was made of, also through a view.
    """

    oid: int
    name: str
    kind: str
    has_row_security: bool
    is_forced: bool
    owner: int
    is_owned: bool
    role: str
    is_exempt: bool
    owner_is_exempt: bool
    is_invoker: bool
    has_policies: bool
    differs_for: Sequence[int]
    part_of: str
    covers: str
    definition: str

    @property
    def is_filtered(self) -> bool:
        """Whether its policies hold for this role."""
        return (
            self.has_row_security
            and not self.is_exempt
            and not (self.is_owned and not self.is_forced)
        )

    def bypasses(self, read: Sequence["Relation"]) -> Iterator[str]:
        """
        Ways in which the statement's role bypasses the policies of what it reads.

        Args:
            read: All relations of the statement.
        """
        if self.has_policies and self.is_exempt:
            yield f"the role {self.role} is a superuser or has BYPASSRLS: no policy is for it"
        elif self.has_policies and self.is_owned:
            yield (
                f"the role {self.role} is the owner of {self.name}, or a member of it, to whom no"
                " policy applies; give tools a role of their own"
            )
        if self.kind == "v" and not self.is_invoker:
            for table in read:
                past = (
                    self.owner_is_exempt
                    or (table.owner == self.owner and not table.is_forced)
                    or self.owner in table.differs_for
                )
                if table.has_policies and past:
                    yield (
                        f"the view {self.name} reads {table.name} with the rights of its owner;"
                        f" write ALTER VIEW {self.name} SET (security_invoker = true)"
                    )
        if self.kind == "m" and self.covers:
            yield f"the materialized view {self.name} holds rows of {self.covers} for everyone"
        if self.part_of and not self.has_policies:
            yield (
                f"{self.name} is a part of {self.part_of}, whose policies are not for those"
                f" who read the part; read {self.part_of}"
            )


def relations(
    connection: psycopg.Connection[Any], oids: Sequence[int], named: Collection[int]
) -> list[Relation]:
    """
    What is known of those of *oids* that are tables or views of no server's own, by name.

    Args:
        named: Those that the statement or a view names; of a table that is read as a whole the
            parts are read by its policies, and left out.
    """
    rows = connection.execute(_RELATIONS, {"oids": list(oids)}).fetchall()
    found = [Relation(*row) for row in rows]
    names = {relation.name for relation in found}
    return [r for r in found if r.oid in named or r.part_of not in names]


def place_of(statement: str, name: str) -> int:
    """The character at which a statement names a relation; 0 when it does not."""
    last = name.rpartition(".")[2].strip('"')
    pattern = re.compile(rf'(?<![\w"]){re.escape(last)}(?![\w"])', re.IGNORECASE)
    found = pattern.search(bare(statement)) or pattern.search(statement)
    return found.start() if found else 0


# One row is one relation.
_RELATIONS = """
SELECT c.oid::bigint, c.oid::regclass::text, c.relkind::text, c.relrowsecurity,
       c.relforcerowsecurity, c.relowner::bigint, pg_has_role(c.relowner, 'MEMBER'),
       me.rolname::text, me.rolsuper OR me.rolbypassrls, owner.rolsuper OR owner.rolbypassrls,
       coalesce((SELECT bool_or(option_value::boolean)
                 FROM pg_options_to_table(c.reloptions)
                 WHERE option_name = 'security_invoker'), false),
       EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid),
       ARRAY(SELECT DISTINCT o.relowner::bigint
             FROM pg_class AS o
             WHERE o.oid = ANY (%(oids)s)
               AND EXISTS (SELECT
                           FROM pg_policy AS p, unnest(p.polroles) AS role
                           WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*') AND role <> 0
                             AND pg_has_role(o.relowner, role, 'USAGE')
                               <> pg_has_role(role, 'USAGE'))),
       coalesce((WITH RECURSIVE above AS (
                     SELECT i.inhparent AS oid FROM pg_inherits AS i WHERE i.inhrelid = c.oid
                     UNION
                     SELECT i.inhparent FROM above AS a JOIN pg_inherits AS i ON i.inhrelid = a.oid)
                 SELECT min(a.oid::regclass::text)
                 FROM above AS a
                 JOIN pg_policy AS p ON p.polrelid = a.oid), ''),
       coalesce((WITH RECURSIVE below AS (
                     SELECT c.oid WHERE c.relkind = 'm'
                     UNION
                     SELECT d.refobjid
                     FROM below AS b
                     JOIN pg_rewrite AS w ON w.ev_class = b.oid
                     JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                       AND d.refclassid = 'pg_class'::regclass)
                 SELECT min(t.oid::regclass::text)
                 FROM below AS b
                 JOIN pg_class AS t ON t.oid = b.oid AND t.relrowsecurity), ''),
       CASE WHEN c.relkind IN ('v', 'm') THEN coalesce(pg_get_viewdef(c.oid), '') ELSE '' END
FROM pg_class AS c
JOIN pg_roles AS owner ON owner.oid = c.relowner
JOIN pg_roles AS me ON me.rolname = current_user
WHERE c.oid = ANY (%(oids)s)
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
ORDER BY 2
"""
