"""Load the demo's schema, data and read-only role into an empty Postgres."""

from pathlib import Path

import psycopg

from db.connection import translated

_FOLDER = Path(__file__).parent / "demo"
_CONNECT_TIMEOUT_S = 30  # nobody waits on a line, and the machine may be busy
_TABLE = "inventory"
"""One of the demo's tables, which shows that the scripts ran before."""


def load(url: str) -> None:
    """
    Run schema.sql and data.sql in one transaction, unless the demo's tables are there.

    Args:
        url: Of a role that may create tables and roles.

    Raises:
        Unavailable: Postgres cannot be reached.
    """
    scripts = [(_FOLDER / name).read_text(encoding="utf-8") for name in ("schema.sql", "data.sql")]
    with translated(()), psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        # two at once would otherwise both find nothing and both create
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_TABLE])
        found = connection.execute("SELECT to_regclass(%s)", [_TABLE]).fetchone()
        if found is not None and found[0] is None:
            connection.execute("\n".join(scripts).encode())
