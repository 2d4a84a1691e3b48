"""Look up types that a database defines (enums, domains), so that psycopg can read their arrays."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.pq import Format
from psycopg.types import TypeInfo

# One row is one of the types, or a type that it is made of: its element for an array, its base for
# a domain. An array is recognised by how it prints, because not all that have elements are arrays.
_TYPES = """
WITH RECURSIVE made_of AS (
  SELECT t.oid, t.typname, t.typdelim, t.typtype, t.typarray, t.typoutput, t.typelem, t.typbasetype
  FROM pg_catalog.pg_type AS t
  WHERE t.oid = ANY (%s)
  UNION
  SELECT t.oid, t.typname, t.typdelim, t.typtype, t.typarray, t.typoutput, t.typelem, t.typbasetype
  FROM made_of
  JOIN pg_catalog.pg_type AS t
    ON t.oid = CASE
      WHEN made_of.typtype = 'd' THEN made_of.typbasetype
      WHEN made_of.typoutput = 'pg_catalog.array_out'::regproc THEN made_of.typelem
    END
)
SELECT oid::bigint, typname, typdelim, typarray::bigint,
       CASE WHEN typtype = 'd' THEN typbasetype::bigint ELSE 0 END,
       CASE WHEN typoutput = 'pg_catalog.array_out'::regproc THEN typelem::bigint ELSE 0 END
FROM made_of
"""


@dataclass(frozen=True)
class _Type:
    oid: int
    name: str
    delimiter: str
    array_oid: int
    base_oid: int
    element_oid: int


@dataclass
class DatabaseTypes:
    """
    What is known of the types that one database defines, for all connections of a process.

    They are looked up once, when a column of a type that psycopg does not know is first read.
    """

    _found: dict[int, _Type] = field(default_factory=dict)

    def teach(self, connection: psycopg.Connection[Any], oids: Iterable[int]) -> None:
        """
        Let *connection* read columns of these types; what is no array or domain stays text.

        Raises:
            psycopg.Error: The types cannot be looked up.
        """
        known = connection.adapters.types
        unknown = {oid for oid in oids if known.get(oid) is None}
        missing = [oid for oid in unknown if oid not in self._found]
        if missing and not connection.closed:
            rows = connection.execute(_TYPES, [missing]).fetchall()
            self._found.update({row[0]: _Type(*row) for row in rows})
        for oid in unknown & set(self._found):
            self._register(connection, self._found[oid])

    def _register(self, connection: psycopg.Connection[Any], found: _Type) -> None:
        adapters = connection.adapters
        inner = self._found.get(found.element_oid or found.base_oid)
        if inner is not None and adapters.types.get(inner.oid) is None:
            self._register(connection, inner)
        if found.element_oid:
            if inner is not None:
                TypeInfo(inner.name, inner.oid, found.oid, delimiter=inner.delimiter).register(
                    connection
                )
            return
        loader = adapters.get_loader(found.base_oid, Format.TEXT) if found.base_oid else None
        if loader is not None:
            adapters.register_loader(found.oid, loader)
        TypeInfo(found.name, found.oid, found.array_oid, delimiter=found.delimiter).register(
            connection
        )
