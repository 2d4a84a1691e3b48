"""Load the demo's schema, data and read-only role into an empty Postgres."""

from pathlib import Path

from db import connection

_FOLDER = Path(__file__).parent / "demo"


def load(url: str) -> None:
    """
    Run schema.sql and data.sql in one transaction, unless the demo's tables are there.

    Args:
        url: Of a role that may create tables and roles.

    Raises:
        Unavailable: Postgres cannot be reached.
    """
    scripts = [(_FOLDER / name).read_text(encoding="utf-8") for name in ("schema.sql", "data.sql")]
    connection.run_script(url, "\n".join(scripts), unless_exists="inventory")
