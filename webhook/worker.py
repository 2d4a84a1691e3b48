"""gunicorn's threads, given whole requests only: a slow sender holds a socket, not a thread."""

import contextlib
import errno
import http
import json
import selectors
import socket
import struct
import time
from functools import partial
from typing import Any

from gunicorn.http import errors, get_parser  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from runtime import logs, metrics
from webhook.arrival import Arrival
from webhook.errors import TooMuch

ARRIVAL_S = 10.0
"""From a request's first moment to its last byte; Genesys itself gives up on us after 10 s."""
LINGER_S = 2.0
"""After an answer that ends a connection, for its sender to read it: closing at once would throw
away what is still on its way, and the answer with it."""
SEND_S = 0.25
"""For the kernel to take an answer. It takes one at once from whoever has read those before: only
behind some 100 kB of unread answers is there no room."""
PAUSE_S = 1.0
"""Without new connections, when the process may open no more files."""
MAX_HELD_BYTES = 64_000_000
"""Of requests that are not answered, all connections of a worker together. Above it the largest of
those that have not come whole is ended: whoever sends little does not pay for who sends much."""

_RECEIVE_BYTES = 65_536
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_SENTENCES = {
    400: "The request is not valid HTTP.",
    408: f"The request did not come whole within {ARRIVAL_S:g} s.",
    414: "The address is too long.",
    431: "The headers are too many or too large.",
    503: "The receiver failed; send it again later.",
}

_log = logs.get("webhook")


class WholeRequestWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """
    Reads in its one loop, without blocking, and hands a request to a thread when it is whole.

    gunicorn 27.0.1's own ThreadWorker blocks a thread for as long as a sender takes from the first
    byte to the last, and its loop for 2 s with each connection that the other side leaves open.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # until when each may take; dicts keep order, and each holds one length of time
        self._arriving: dict[TConn, float] = {}
        self._lingering: dict[TConn, float] = {}
        self._arrivals: dict[TConn, Arrival] = {}
        self._held_bytes = 0  # of all arrivals
        self._accepts_from = 0.0

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections or not; asked by gunicorn's loop, at least once a second."""
        super().set_accept_enabled(enabled and time.monotonic() >= self._accepts_from)

    def accept(self, listener: socket.socket) -> None:
        """Take a connection and listen to it."""
        try:
            connection, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            if exc.errno not in _EXHAUSTED:
                raise
            self._pause(exc)
            return
        # for the threads, where the socket blocks; gunicorn 27.0.1 sets no limit for them
        limit = struct.pack("ll", 0, int(SEND_S * 1_000_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.nr_conns += 1
        self._await_request(TConn(self.cfg, connection, client, listener.getsockname()))

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Begin the next request of a connection that was kept."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_request(conn)
        self._receive(conn, client)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer a request; whoever has not read what it was answered before counts as gone."""
        # said before the body, where it was waited for; gunicorn 27.0.1 would say it again
        req._expected_100_continue = False
        if not self._arrivals[conn].is_exact:
            req.force_close()  # the answer shall say so
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as exc:
            # gunicorn logs any other error of a socket with its traceback
            raise BrokenPipeError(errno.EPIPE, "the answer was not read") from exc

    def finish_request(self, conn: TConn, fs: Any) -> None:
        """Keep the connection, unless its answer or what came behind the request ends it."""
        is_exact = self._arrivals[conn].is_exact
        self._forget(conn)
        is_kept = not fs.cancelled() and fs.exception() is None and fs.result()
        if not is_kept or not self.alive or not is_exact:
            self._linger(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        readable = partial(self.on_client_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def murder_pending(self) -> None:
        """End what has taken too long; called by gunicorn's loop, at least once a second."""
        now = time.monotonic()
        for conn, deadline in list(self._arriving.items()):
            is_idle = not self.alive and not self._arrivals[conn]
            if deadline > now and not is_idle:
                continue
            if self._arrivals[conn]:
                self._refuse(conn, 408)
            else:
                self._stop_listening(conn, self._arriving)
                self._close(conn)
        for conn, deadline in list(self._lingering.items()):
            if deadline <= now:
                self._stop_listening(conn, self._lingering)
                self._close(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what gunicorn could not read, or what failed outside the app, as JSON."""
        status = 503
        if isinstance(exc, errors.LimitRequestLine):
            status = 414
        elif isinstance(exc, errors.LimitRequestHeaders):
            status = 431
        elif isinstance(exc, errors.ParseException):
            status = 400
        else:
            _log.error("request.failed", reason=type(exc).__name__)
        _answer(client, status, _SENTENCES[status])

    def _pause(self, exc: OSError) -> None:
        """Leave connections in the backlog, or the loop would be told of them without end."""
        _log.warning("connections.paused", reason=exc.strerror, held=self.nr_conns)
        self._accepts_from = time.monotonic() + PAUSE_S
        self.set_accept_enabled(False)

    def _await_request(self, conn: TConn) -> None:
        self._arrivals[conn] = Arrival()
        self._arriving[conn] = time.monotonic() + ARRIVAL_S
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))

    def _receive(self, conn: TConn, client: socket.socket) -> None:
        arrival = self._arrivals[conn]
        try:
            data = client.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._stop_listening(conn, self._arriving)
            self._close(conn)
            return
        self._held_bytes += len(data)
        try:
            arrival.add(data)
        except TooMuch as refusal:
            self._refuse(conn, refusal.status, str(refusal))
            return
        if self._held_bytes > MAX_HELD_BYTES:
            self._end_largest()
            if conn not in self._arriving:
                return
        if arrival.waits_for_continue:
            _send(client, b"HTTP/1.1 100 Continue\r\n\r\n")
        if arrival.is_whole:
            self._stop_listening(conn, self._arriving)
            self._hand_over(conn, arrival)

    def _end_largest(self) -> None:
        """Make room for what has just come; that is at most as much."""
        conn = max(self._arriving, key=lambda conn: len(self._arrivals[conn]))
        _log.warning("request.ended", reason="held bytes", bytes=len(self._arrivals[conn]))
        self._refuse(conn, 503, "The receiver holds too much; send it again later.")

    def _hand_over(self, conn: TConn, arrival: Arrival) -> None:
        conn.parser = get_parser(self.cfg, arrival.pieces(), conn.client)
        conn.initialized = conn.data_ready = True
        self.enqueue_req(conn)

    def _refuse(self, conn: TConn, status: int, sentence: str | None = None) -> None:
        self._stop_listening(conn, self._arriving)
        self._forget(conn)
        _answer(conn.sock, status, sentence or _SENTENCES[status])
        self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        self._lingering[conn] = time.monotonic() + LINGER_S
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drop, conn))

    def _drop(self, conn: TConn, client: socket.socket) -> None:
        """Throw away what still comes, until the sender has closed its side."""
        try:
            is_over = not client.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self._stop_listening(conn, self._lingering)
            self._close(conn)

    def _stop_listening(self, conn: TConn, among: dict[TConn, float]) -> None:
        del among[conn]
        self.poller.unregister(conn.sock)

    def _close(self, conn: TConn) -> None:
        if conn in self._arrivals:
            self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _forget(self, conn: TConn) -> None:
        arrival = self._arrivals.pop(conn)
        self._held_bytes -= len(arrival)
        arrival.clear()


def _answer(client: socket.socket, status: int, sentence: str) -> None:
    metrics.count("deliveries", answer=str(status))
    body = json.dumps({"error": sentence}).encode()
    lines = [
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(["Retry-After: 5"] if status == 503 else []),
    ]
    _send(client, "\r\n".join([*lines, "", ""]).encode() + body)


def _send(client: socket.socket, data: bytes) -> None:
    # under a kilobyte: it fits into the socket's buffer, or nobody is reading
    with contextlib.suppress(OSError):
        client.send(data)
