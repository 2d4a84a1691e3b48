"""One read-only transaction in one round trip, over libpq: statement, row cap, byte cap."""

import fcntl
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import errors, pq
from psycopg.adapt import PyFormat, Transformer

from db.errors import ToolError, Unavailable

HEARD_S = 1.0
"""For the first reply of a server; a connection that is silent for longer counts as dead."""
_LEAST_HEARD_S = 0.25
HANG_MARGIN_S = 1.0
"""After statement_timeout, which a hanging server does not keep, the connection is closed."""
MAX_ROW_BYTES = 8_388_608
"""
Limit of one row as Postgres sends it. libpq buffers a row whole: a larger one takes its size in
memory once, and up to three times from a server that is as fast as our own memory.
"""
_MAX_SKIPPED_BYTES = 1_048_576
"""Surplus rows are read up to this, to keep the connection; with more it is closed."""

_COMMENTS_IGNORED = 160_000
"""Before Postgres 16 pg_stat_statements counts DECLARE and FETCH with another comment as another
statement, and evicts older ones."""

_BYTES_AROUND_NAME = 4  # two quotes, a colon and a comma

# What a call needs of its session holds inside the transaction, because a pooler gives the session
# to others in between, and refuses settings in the startup packet.
_SETTINGS = b"""
SELECT set_config('statement_timeout', $1, true),
       set_config('DateStyle', 'ISO', true),
       set_config('IntervalStyle', 'iso_8601', true),
       set_config('bytea_output', 'hex', true),
       set_config('extra_float_digits', '1', true),
       -- plan a cursor for all its rows, not for its first tenth
       set_config('cursor_tuple_fraction', '1', true)
"""
BOUND = "toolworker."
"""Prefix of the settings that hold bound arguments, which policies read."""


NOTHING_BOUND: Mapping[str, str] = MappingProxyType({})


class Silent(Unavailable):
    """A connection on which the server sends nothing; others to the same server may be so, too."""


@dataclass(frozen=True)
class Statement:
    """A statement with `$1`, `$2` …, and the name of each."""

    text: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """Name and type (its OID) of a column."""

    name: str
    type: int


@dataclass
class Rows:
    """Rows as Postgres sent them, in its text format; `is_cut` when not all were kept."""

    columns: tuple[Column, ...] = ()
    values: list[list[bytes | None]] = field(default_factory=list)
    is_cut: bool = False


def read(
    connection: psycopg.Connection[Any],
    statement: Statement,
    arguments: Sequence[Any],
    *,
    timeout_ms: int,
    max_rows: int,
    max_bytes: int,
    hang_margin_s: float = HANG_MARGIN_S,
    bound: Mapping[str, str] = NOTHING_BOUND,
    comment: str = "",
) -> Rows:
    """
    The first rows of a statement that only reads.

    A cursor takes nothing but a SELECT, and the extended protocol one statement only. At the end
    stands a ROLLBACK, which also takes back what a function of the statement set for the session.
    A connection that may still receive something is closed.

    Args:
        arguments: One for each name of the statement, as psycopg takes them.

        max_rows: Fetched; one more than are shown reveals whether there are more.

        max_bytes: Of all rows with the names of their columns; what is beyond is not kept.

        bound: Name to value of bound arguments; each is the setting `toolworker.<name>` until the
            transaction ends.

        hang_margin_s: After *timeout_ms*, which a server that hangs does not keep.

        comment: Of `sql_comment`, in DECLARE and FETCH, since either may be what is slow.

    Raises:
        psycopg.Error: What the server has against it, or a connection that broke.
        ToolError: `timeout`, or `too_large` for a row beyond MAX_ROW_BYTES.
        Silent: The server sent nothing in time.
    """
    transformer = Transformer(connection)
    values = transformer.dump_sequence(arguments, [PyFormat.AUTO] * len(arguments))
    if connection.pgconn.server_version < _COMMENTS_IGNORED:
        comment = ""
    pipeline = _Pipeline(connection.pgconn, timeout_ms / 1000, hang_margin_s)
    try:
        pipeline.send(
            _settings(timeout_ms, bound),
            (
                f"DECLARE answer NO SCROLL CURSOR FOR {comment}{statement.text}".encode(),
                values,
                transformer.types,
                transformer.formats,
            ),
            (f"FETCH FORWARD {max_rows} FROM answer {comment}".encode(), None),
        )
        rows = pipeline.receive(max_bytes)
    except BaseException as exc:
        # also a task's time limit, which can strike anywhere: the connection's state is unknown
        connection.close()
        if isinstance(exc, psycopg.Error) and pipeline.error is not None:
            raise pipeline.error from exc  # what the server reported last
        raise
    if pipeline.is_closing:
        connection.close()
    if pipeline.error is not None:
        raise pipeline.error
    return rows


def sql_comment(**facts: str) -> str:
    """Facts as an SQL comment of sqlcommenter's form: keys in order, values percent-encoded."""
    pairs = ",".join(f"{name}='{quote(text, safe='')}'" for name, text in sorted(facts.items()))
    return f"/*{pairs}*/ "


def _settings(timeout_ms: int, bound: Mapping[str, str]) -> "_Command":
    """The settings of a transaction in one statement, so that a bound value costs no round trip."""
    text, values = _SETTINGS, [str(timeout_ms).encode()]
    for name, value in bound.items():
        at = len(values)
        text += b", set_config($%d, $%d, true)" % (at + 1, at + 2)
        values += [f"{BOUND}{name}".encode(), value.encode()]
    return text, values


# what PGconn.send_query_params takes: the command, its values, their types and formats
_Command = tuple[Any, ...]


class _Pipeline:
    """One statement in libpq's pipeline mode: what is sent and received, within a deadline."""

    def __init__(self, server: pq.abc.PGconn, timeout_s: float, hang_margin_s: float) -> None:
        self._server = server
        self._began = time.monotonic()
        self._timeout_s = timeout_s + hang_margin_s
        # half of the time, so that there is time to try another connection
        self._heard_s = min(HEARD_S, max(timeout_s / 2, _LEAST_HEARD_S))
        self._is_heard = False
        self._unread_bytes = 0
        self.error: psycopg.Error | None = None
        self.is_closing = False

    def send(self, settings: _Command, declare: _Command, fetch: _Command) -> None:
        server = self._server
        server.enter_pipeline_mode()
        server.send_query_params(b"BEGIN READ ONLY", None)
        server.send_query_params(*settings)
        # a server that lives answers this much at once, however long the statement takes
        server.send_flush_request()
        server.send_query_params(*declare)
        server.send_query_params(*fetch)
        server.pipeline_sync()
        # behind a sync of its own, so that it is done after an error, too
        server.send_query_params(b"ROLLBACK", None)
        server.pipeline_sync()
        while server.flush():
            self._wait(select.POLLIN | select.POLLOUT)
            server.consume_input()

    def receive(self, max_bytes: int) -> Rows:
        self._finish()  # BEGIN
        self._is_heard = True
        self._finish()  # settings
        self._finish()  # DECLARE
        rows = self._rows(max_bytes)
        if not self.is_closing:
            self._sync()
            self._finish()  # ROLLBACK
            self._sync()
            self._server.exit_pipeline_mode()
        return rows

    def _rows(self, max_bytes: int) -> Rows:
        if self.error is None:
            self._server.set_single_row_mode()
        rows = Rows()
        names_bytes = read_bytes = 0
        while (result := self._next()) is not None:
            if result.status != pq.ExecStatus.SINGLE_TUPLE:
                self._note(result)
                continue
            fields = range(result.nfields)
            if not rows.columns:
                names = [(result.fname(at) or b"").decode() for at in fields]
                rows.columns = tuple(Column(names[at], result.ftype(at)) for at in fields)
                # an output repeats them with each row
                names_bytes = sum(map(len, names)) + _BYTES_AROUND_NAME * len(names)
            values = [result.get_value(0, at) for at in fields]
            row_bytes = sum(len(value) for value in values if value is not None)
            if row_bytes > MAX_ROW_BYTES:
                raise _too_large()
            read_bytes += row_bytes + names_bytes
            rows.is_cut = read_bytes > max_bytes
            if not rows.is_cut:
                rows.values.append(values)
            elif read_bytes > max_bytes + _MAX_SKIPPED_BYTES:
                self.is_closing = True
                break
        return rows

    def _finish(self) -> None:
        """Read what one command answered."""
        while (result := self._next()) is not None:
            self._note(result)

    def _sync(self) -> None:
        self._next()

    def _note(self, result: pq.abc.PGresult) -> None:
        if result.status == pq.ExecStatus.FATAL_ERROR and self.error is None:
            self.error = errors.error_from_result(result, "utf-8")

    def _next(self) -> pq.abc.PGresult | None:
        while self._server.is_busy():
            if self._unread_bytes > MAX_ROW_BYTES:
                raise _too_large()
            self._wait(select.POLLIN)
            waiting = fcntl.ioctl(self._server.socket, termios.FIONREAD, b"\0" * 4)
            self._unread_bytes += struct.unpack("i", waiting)[0]
            self._server.consume_input()
        self._unread_bytes = 0
        return self._server.get_result()

    def _wait(self, events: int) -> None:
        until = self._timeout_s if self._is_heard else self._heard_s
        left_s = self._began + until - time.monotonic()
        poller = select.poll()
        poller.register(self._server.socket, events)
        if left_s > 0 and poller.poll(left_s * 1000):
            return
        if self._is_heard:
            raise ToolError("timeout", TOO_SLOW, retryable=True)
        raise Silent(
            "the connection is silent: the way to Postgres is broken, or a pooler has no server "
            "connection free"
        )


def _too_large() -> ToolError:
    return ToolError(
        "too_large",
        "One row alone is larger than this tool may answer. Ask for something narrower.",
    )


TOO_SLOW = "The query took too long. Try again with narrower arguments."
