"""Postgres, through raw psycopg and nowhere else: one read-only question at a time."""

import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from db.catalog import Tool
from db.errors import ToolError, Unavailable
from db.outputs import message_output, rows_output
from db.values import bound, configure
from runtime import logs
from runtime.deadline import watched
from runtime.settings import SettingsError, database_setting

CONNECT_TIMEOUT_S = 2
"""For one connection attempt; a caller is on the line."""
WAIT_S = 2.0
"""For a connection from the pool, before the call is tried again or told `unavailable`."""
HANG_MARGIN_S = 1.0
"""Beyond statement_timeout, which a server that hangs does not keep, the socket is closed."""
MAX_LIFETIME_S = 1800.0
"""A connection is replaced after this, so that failovers and new rights reach every process."""

_SESSION = (
    "-c default_transaction_read_only=on -c DateStyle=ISO -c IntervalStyle=iso_8601"
    # plan a cursor for all its rows, not for its first tenth
    " -c cursor_tuple_fraction=1"
)
_log = logs.get("database")

# What passes: a connection lost (08), a standby that had to choose between us and its replay, or a
# deadlock (40), a server without room (53), one that stops, starts or sends us away (57P).
_PASSING = ("08", "40", "53", "57P", "25P03")


def session_options(url: str, name: str) -> str:
    """
    What each session is given: the URL's own options, such as a search_path, and ours.

    Raises:
        SettingsError: The URL of database *name* cannot be read.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # psycopg's sentence quotes what it could not read, with the password
        advice = "must be postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE, its parts percent-encoded"
        raise SettingsError(f"{database_setting(name)}: {advice}") from None
    return f"{given.get('options', '')} {_SESSION}".strip()


class Databases:
    """
    A small pool for each database of one process; make it after the fork.

    Args:
        urls: Database name to URL; `default` is what a tool without `database` asks.

    Raises:
        SettingsError: A URL cannot be read.
    """

    def __init__(self, urls: Mapping[str, str], *, max_size: int = 2) -> None:
        self._pools = {
            name: ConnectionPool(
                url,
                open=False,
                min_size=0,
                max_size=max_size,
                timeout=WAIT_S,
                max_lifetime=MAX_LIFETIME_S,
                reconnect_timeout=WAIT_S,
                configure=configure,
                name=name,
                kwargs={
                    "autocommit": True,
                    "connect_timeout": CONNECT_TIMEOUT_S,
                    "options": session_options(url, name),
                    # the statements are UTF-8, whatever the database keeps its text in
                    "client_encoding": "utf8",
                    "application_name": "toolworker",
                    "keepalives_idle": 30,
                    # a DECLARE is planned each time, and poolers in front of Postgres keep nothing
                    "prepare_threshold": None,
                },
            )
            for name, url in urls.items()
        }

    @property
    def names(self) -> frozenset[str]:
        """The databases that have a URL."""
        return frozenset(self._pools)

    def open(self) -> None:
        """Start the pools' threads; nothing is waited for, so an outage cannot stop a start."""
        for pool in self._pools.values():
            pool.open(wait=False)

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close(timeout=2)

    def ping(self, name: str) -> None:
        """
        Ask whether a database answers.

        Raises:
            Unavailable: It does not.
        """
        with _translated(), self._connection(name) as connection, _closed_after(connection, 2.0):
            connection.execute("SELECT 1")

    def query(self, tool: Tool, values: Mapping[str, Any], *, timeout_ms: int) -> str:
        """
        The tool output of one call: items and total, or a message when there are no rows.

        Args:
            values: Validated, one for each placeholder of the statement.

            timeout_ms: For all of it; waiting for a connection and for locks counts.

        Raises:
            ToolError: `timeout`, `query_failed` or `too_large`; no SQL and no rows in it.
            Unavailable: No connection, or one that broke; another attempt may succeed.
        """
        arguments = {name: bound(value) for name, value in values.items()}
        began = time.monotonic()
        with _translated(), self._connection(tool.database) as connection:
            left_ms = timeout_ms - int((time.monotonic() - began) * 1000)
            if left_ms <= 0:
                raise Unavailable("the wait for a connection took all the time there was")
            with _closed_after(connection, left_ms / 1000 + HANG_MARGIN_S):
                rows = _ask(connection, tool, arguments, left_ms)
        if not rows and tool.no_rows_message is not None:
            return message_output(tool.no_rows_message.format_map(_Given(values)))
        with _translated():
            return rows_output(rows, max_rows=tool.max_rows, max_bytes=tool.max_bytes)

    @contextmanager
    def _connection(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        pool = self._pools.get(name)
        if pool is None:
            raise ToolError("internal_error", "The tool's database is not set up.")
        # a connection that died while it lay in the pool is found out here and replaced
        for _ in range(pool.max_size + 1):
            connection = pool.getconn()
            if not _is_dead(connection):
                break
            pool.putconn(connection)
        try:
            yield connection
        finally:
            pool.putconn(connection)


def _ask(
    connection: psycopg.Connection[Any], tool: Tool, arguments: Mapping[str, Any], timeout_ms: int
) -> list[dict[str, Any]]:
    """
    One round trip: the extended protocol takes one statement only, and a cursor only a SELECT.

    The cursor bounds what Postgres sends: max_rows and one more, which tells that there are more.
    """
    try:
        with connection.pipeline():
            connection.execute("BEGIN READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = {int(timeout_ms)}")
            declare = f"DECLARE answer NO SCROLL CURSOR FOR {tool.statement}"
            connection.execute(declare.encode(), arguments)
            rows = connection.cursor(row_factory=dict_row)
            rows.execute(f"FETCH FORWARD {tool.max_rows + 1} FROM answer")
            connection.execute("COMMIT")
            return rows.fetchall()
    finally:
        with suppress(psycopg.Error):
            connection.rollback()


@contextmanager
def _closed_after(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Shut the connection's socket when it takes too long, which ends any wait on it."""

    def shut() -> None:
        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)

    with watched(seconds, shut) as block:
        try:
            yield
        except psycopg.Error as exc:
            if block.is_over:
                raise ToolError("timeout", _TOO_SLOW, retryable=True) from exc
            raise


@contextmanager
def _translated() -> Iterator[None]:
    """Say in our words what psycopg says in its own."""
    try:
        yield
    # QueryCanceled is an OperationalError too; catch it first, or a slow query is retried as an
    # outage.
    except (errors.QueryCanceled, errors.LockNotAvailable) as exc:
        raise ToolError("timeout", _TOO_SLOW, retryable=True) from exc
    except PoolTimeout as exc:
        raise Unavailable(f"Postgres cannot be reached: {type(exc).__name__}") from exc
    except psycopg.Error as exc:
        # with an SQLSTATE the server answered; an OperationalError without one is a broken
        # connection
        is_broken = exc.sqlstate is None and isinstance(exc, psycopg.OperationalError)
        if is_broken or (exc.sqlstate or "").startswith(_PASSING):
            raise Unavailable(f"Postgres cannot answer now: {type(exc).__name__}") from exc
        raise _failed(exc) from exc
    # a value that Python cannot read or write: bytes that are no UTF-8, JSON a thousand levels deep
    except (UnicodeError, RecursionError) as exc:
        raise _failed(exc) from exc


def _failed(error: Exception) -> ToolError:
    # the server's words can quote values: only its code is logged, and none of it is told
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    _log.error("query.failed", sqlstate=sqlstate, kind=type(error).__name__)
    return ToolError("query_failed", "The tool's query failed. Do not try the same call again.")


def _is_dead(connection: psycopg.Connection[Any]) -> bool:
    """
    Whether the server ended the connection while nobody used it; costs no round trip.

    An idle server says nothing but its last words, so a socket with something to read is dead.
    """
    if connection.closed:
        return True
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        connection.close()
        return True
    return False


class _Given(dict[str, Any]):
    """Arguments for a message; one that was not given reads as "any"."""

    def __getitem__(self, name: str) -> Any:
        value = self.get(name)
        return "any" if value is None else value


_TOO_SLOW = "The query took too long. Try again with narrower arguments."


def run_script(url: str, script: str, *, unless_exists: str) -> None:
    """
    Run SQL of our own as a role that may write, all of it or nothing; for demo data alone.

    Args:
        unless_exists: A table that shows that the script ran before.

    Raises:
        Unavailable: Postgres cannot be reached.
    """
    with _translated(), psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        # two at once would otherwise both find nothing and both create
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [unless_exists])
        found = connection.execute("SELECT to_regclass(%s)", [unless_exists]).fetchone()
        if found is not None and found[0] is None:
            connection.execute(script.encode())
