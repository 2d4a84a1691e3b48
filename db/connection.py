"""Postgres connections: parameters, ping, and the translation of psycopg's errors into ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from db.causes import cause
from db.errors import ToolError, Unavailable, Violation
from db.transaction import TOO_SLOW, Statement, read
from runtime import logs
from runtime.settings import SettingsError, database_setting

CONNECT_TIMEOUT_S = 2
"""For one connection attempt; a caller is on the line."""
PING_MS = 2_000
_log = logs.get("database")

# What passes: a connection lost (08), a standby that had to choose between us and its replay, or a
# deadlock (40), a server without room (53), one that stops, starts or ends our session (57P).
_PASSING = ("08", "40", "53", "57P", "25P03")


def connect_options(url: str, name: str) -> dict[str, Any]:
    """
    How to connect to a database, also through a pooler: all else is set in each transaction.

    Raises:
        SettingsError: The URL of database *name* cannot be read.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # psycopg's sentence quotes what it could not read, with the password
        advice = "must be postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE, its parts percent-encoded"
        raise SettingsError(f"{database_setting(name)}: {advice}") from None
    host = str(parts.get("host", ""))
    # else the host's name, with half a password, is unknown; "@/…" is an abstract Unix socket
    if "@" in host and not host.startswith("@/"):
        raise SettingsError(f"{database_setting(name)}: has a second @; in a password write %40")
    return {
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT_S,
        # the statements are UTF-8, whatever the database keeps its text in
        "client_encoding": "utf8",
        "application_name": "toolworker",
        # a way that a firewall forgot: found while idle, or 2 s after something was sent
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 2_000,
        # a DECLARE is planned each time, and a pooler gives the session to others in between
        "prepare_threshold": None,
    }


def ping(connection: psycopg.Connection[Any]) -> None:
    """Query a database for nothing, as a call would query it; raises as `read` does."""
    statement = Statement("SELECT 1", ())
    read(connection, statement, (), timeout_ms=PING_MS, max_rows=1, max_bytes=1_000)


def problems(urls: Mapping[str, str]) -> dict[str, str]:
    """
    Why databases cannot be queried, by name; connects to each, for 2 s at most.

    Raises:
        SettingsError: A URL cannot be read.
    """
    found = {}
    for name, url in urls.items():
        try:
            with psycopg.connect(url, **connect_options(url, name)) as connection:
                ping(connection)
        except psycopg.Error as exc:
            found[name] = cause(exc)
        except (Unavailable, ToolError) as exc:
            found[name] = str(exc)
    return found


@contextmanager
def translated(large: Sequence[str]) -> Iterator[None]:
    """
    Translate psycopg's errors into ours.

    Args:
        large: Arguments that may be out of the range of what they are compared with.
    """
    try:
        yield
    # QueryCanceled is an OperationalError too; catch it first, or a slow query is retried as an
    # outage.
    except (errors.QueryCanceled, errors.LockNotAvailable) as exc:
        raise ToolError("timeout", TOO_SLOW, retryable=True) from exc
    except psycopg.Error as exc:
        # with an SQLSTATE the server answered; an OperationalError without one is a broken
        # connection
        is_broken = exc.sqlstate is None and isinstance(exc, psycopg.OperationalError)
        if is_broken or (exc.sqlstate or "").startswith(_PASSING):
            _log.warning("database.unavailable", cause=cause(exc), sqlstate=exc.sqlstate)
            raise Unavailable(cause(exc)) from exc
        if large and isinstance(exc, errors.NumericValueOutOfRange):
            raise _out_of_range(large) from exc
        raise _failed(exc) from exc
    # a value that Python cannot read or write: bytes that are no UTF-8, JSON a thousand levels deep
    except (UnicodeError, RecursionError) as exc:
        raise _failed(exc) from exc


def _failed(error: Exception) -> ToolError:
    # the server's message can quote values: only its code is logged, and the model gets neither
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    _log.error("query.failed", sqlstate=sqlstate, kind=type(error).__name__)
    return ToolError("query_failed", "The tool's query failed. Do not try the same call again.")


def _out_of_range(names: Sequence[str]) -> ToolError:
    return ToolError(
        "invalid_arguments",
        "A number is larger than any that the data has. Correct it and call the tool again.",
        violations=tuple(
            Violation(
                path=f"/{name.replace('~', '~0').replace('/', '~1')}",
                message="is out of range; nothing can be found by it",
            )
            for name in names
        ),
    )
