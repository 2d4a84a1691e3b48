"""Connection pools, and one read-only query for each call, through raw psycopg."""

import logging
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg_pool import ConnectionPool, PoolTimeout

from db.catalog import Tool
from db.catalog.no_rows import filled
from db.catalog.statement import placeholders
from db.causes import cause
from db.connection import connect_options, ping, translated
from db.errors import ToolError, Unavailable
from db.outputs import message_output, rows_output
from db.transaction import HANG_MARGIN_S, Rows, Silent, Statement, read, sql_comment
from db.types import DatabaseTypes
from db.values import bound, configure, exact, setting_text
from runtime import logs

WAIT_S = 2.5
"""
For a connection from the pool, before the call is tried again or ends as `unavailable`; longer than
one attempt to connect, so that its cause is known.
"""
MAX_LIFETIME_S = 1800.0
"""A connection is replaced after this, so that failovers and new rights reach every process."""
READ_FACTOR = 4
"""Times `max_bytes` are read from Postgres, since JSON loses white space in the output."""
_log = logs.get("database")
_LARGEST_INTEGER = 2**31 - 1


class Databases:
    """
    A small pool for each database of one process; make it after the fork.

    Args:
        urls: Database name to URL; `default` is for tools without `database`.

        max_size: Connections to each database, made when they are needed.

    Raises:
        SettingsError: A URL cannot be read.
    """

    def __init__(self, urls: Mapping[str, str], *, max_size: int = 2) -> None:
        self._pools = {name: _Pool(name, url, max_size=max_size) for name, url in urls.items()}

    @property
    def names(self) -> frozenset[str]:
        """The databases that have a URL."""
        return frozenset(self._pools)

    def open(self) -> None:
        """Start the pools' threads; nothing is waited for, so an outage cannot stop a start."""
        # it warns of each attempt with host and role; each cause is logged here, once
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        for pool in self._pools.values():
            pool.open()

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def ping(self, name: str) -> None:
        """
        Query a database for nothing, to find out whether it answers.

        Raises:
            Unavailable: It does not answer; the message names the cause.
        """
        try:
            with translated(()), self._pool(name).connection() as connection:
                ping(connection)
        except ToolError as exc:  # too slow, or refused: there is no model to answer
            raise Unavailable(f"it answers no query ({exc.code})") from exc

    def query(
        self,
        tool: Tool,
        values: Mapping[str, Any],
        *,
        timeout_ms: int,
        hang_margin_s: float = HANG_MARGIN_S,
        traceparent: str = "",
    ) -> str:
        """
        The tool output of one call: items and total, or a message when there are no rows.

        Args:
            values: Validated, one for each placeholder of the statement and each bound property.

            timeout_ms: For all of it; waiting for a connection and for locks counts.

            hang_margin_s: After it the connection to a server that hangs is closed.

            traceparent: W3C trace context of this query, for the server's log.

        Raises:
            ToolError: `timeout`, `query_failed`, `too_large`, or `invalid_arguments` for a number
                that is out of the range of what it is compared with; no SQL and no rows in it.
            Unavailable: No connection, or one that broke; another attempt may succeed. The
                sentence says why.
        """
        statement = _numbered(tool.statement)
        arguments = [bound(values[name]) for name in statement.names]
        began = time.monotonic()
        pool = self._pool(tool.database)
        # a bound value is not named to the model
        named = [name for name in statement.names if name not in tool.bind]
        large = [name for name in named if _is_large(values[name])]
        wait_s = min(WAIT_S, timeout_ms / 1000)
        with translated(large), pool.connection(wait_s) as connection:
            left_ms = timeout_ms - int((time.monotonic() - began) * 1000)
            if left_ms <= 0:
                raise Unavailable("the wait for a connection took all the time there was")
            rows = read(
                connection,
                statement,
                arguments,
                timeout_ms=left_ms,
                hang_margin_s=hang_margin_s,
                # one more, to see whether there are more
                max_rows=tool.max_rows + 1,
                max_bytes=tool.max_bytes * READ_FACTOR,
                bound={name: setting_text(values[name]) for name in tool.bind},
                comment=sql_comment(tool=tool.name, traceparent=traceparent) if traceparent else "",
            )
            items = _loaded(connection, pool.types, rows)
        if not items and tool.no_rows_message is not None:
            return message_output(filled(tool.no_rows_message, exact(values)))
        with translated(()):
            return rows_output(
                items, max_rows=tool.max_rows, max_bytes=tool.max_bytes, is_cut=rows.is_cut
            )

    def _pool(self, name: str) -> "_Pool":
        pool = self._pools.get(name)
        if pool is None:
            raise ToolError("internal_error", "The tool's database is not set up.")
        return pool


class _Pool:
    """The connections to one database, and why the last one could not be made."""

    def __init__(self, name: str, url: str, *, max_size: int) -> None:
        self.types = DatabaseTypes()
        self._name = name
        self._failure = ""
        self._pool = ConnectionPool(
            url,
            connection_class=self._connection_class(),
            open=False,
            min_size=0,
            max_size=max_size,
            timeout=WAIT_S,
            max_lifetime=MAX_LIFETIME_S,
            reconnect_timeout=WAIT_S,
            configure=configure,
            name=name,
            kwargs=connect_options(url, name),
        )

    def open(self) -> None:
        self._pool.open(wait=False)

    def close(self) -> None:
        self._pool.close(timeout=2)

    @contextmanager
    def connection(self, wait_s: float = WAIT_S) -> Iterator[psycopg.Connection[Any]]:
        """
        Lend a connection; one that died while it lay in the pool is found out and replaced.

        Raises:
            Unavailable: None is free or can be made in time.
        """
        try:
            for _ in range(self._pool.max_size + 1):
                connection = self._pool.getconn(timeout=wait_s)
                if not _is_dead(connection):
                    break
                self._pool.putconn(connection)
        except PoolTimeout as exc:
            raise Unavailable(self._failure or "no connection came free in time") from exc
        self._failure = ""
        try:
            yield connection
        except Silent:
            # what made one connection silent has most likely made the others so
            self._pool.drain()
            raise
        finally:
            self._pool.putconn(connection)

    def _connection_class(self) -> type[psycopg.Connection[Any]]:
        pool = self

        class Connection(psycopg.Connection[Any]):
            """A connection whose failure to connect is kept: the pool only logs it."""

            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> "Connection":
                try:
                    return super().connect(*args, **kwargs)
                except psycopg.Error as exc:
                    failure = cause(exc)
                    if failure != pool._failure:
                        _log.warning("database.unreachable", database=pool._name, cause=failure)
                    pool._failure = failure
                    raise

        return Connection


@lru_cache(maxsize=1024)
def _numbered(statement: str) -> Statement:
    """The statement as Postgres takes it: `$1` for `%(name)s`, `%` for `%%`."""
    names: list[str] = []
    text, at = "", 0
    for found in placeholders(statement):
        text += statement[at : found.at]
        at = found.end
        if found.name:
            if found.name not in names:
                names.append(found.name)
            text += f"${names.index(found.name) + 1}"
        else:
            text += "%"
    return Statement(text + statement[at:], tuple(names))


def _loaded(
    connection: psycopg.Connection[Any], types: DatabaseTypes, rows: Rows
) -> list[dict[str, Any]]:
    """The rows as Python values by column."""
    if not rows.values:
        if rows.is_cut:
            raise ToolError("too_large", _ROW_TOO_LARGE)
        return []
    oids = [column.type for column in rows.columns]
    types.teach(connection, oids)
    transformer = Transformer(connection)
    transformer.set_loader_types(oids, Format.TEXT)
    names = [column.name for column in rows.columns]
    return [
        dict(zip(names, transformer.load_sequence(values), strict=True)) for values in rows.values
    ]


def _is_dead(connection: psycopg.Connection[Any]) -> bool:
    """
    Whether the server ended the connection while it was idle; costs no round trip.

    An idle server sends nothing but its last message, so a socket with something to read is dead.
    """
    if connection.closed:
        return True
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        connection.close()
        return True
    return False


_ROW_TOO_LARGE = "One row alone is larger than this tool may answer. Ask for something narrower."


def _is_large(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_large, value))
    return isinstance(value, int) and abs(value) > _LARGEST_INTEGER
