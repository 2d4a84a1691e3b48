"""One HTTP request with one deadline, and what its answer or failure says."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, DecodeError, HTTPError, ProtocolError

from genesys.errors import Rejected, Unavailable
from runtime.watchdog import watched

MAX_ANSWER_BYTES = 65_536
"""Read of an answer; an error body has a few hundred bytes, and a token fewer."""

CONNECT_TIMEOUT_S = 3.05
"""Just above TCP's first retransmission after 3 s; for each address that a host name has."""

_WAIT_IN_BODY = re.compile(r"\[(\d{1,6})\] seconds")
_local = threading.local()


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is the JSON object, or empty when it was none."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def code(self) -> str | None:
        """Genesys' own error code, or OAuth's."""
        return _line(self.body.get("code"), 100) or _line(self.body.get("error"), 100) or None

    @property
    def message(self) -> str:
        """What Genesys said, cut to 300 characters and on one line."""
        names = ("message", "error_description", "description")
        return next((text for name in names if (text := _line(self.body.get(name), 300))), "")

    @property
    def correlation_id(self) -> str | None:
        """The id that Genesys' support asks for."""
        header = _line(self.headers.get("ININ-Correlation-Id"), 100)
        return header or _line(self.body.get("contextId"), 100) or None

    @property
    def retry_after_s(self) -> float | None:
        """What we are asked to wait: the header, as seconds or a date, else the 429's sentence."""
        header = self.headers.get("Retry-After", "").strip()
        if header:
            return _seconds(header)
        found = _WAIT_IN_BODY.search(self.message) if self.status == 429 else None
        return float(found[1]) if found else None


def post(
    url: str, data: bytes | Mapping[str, str], headers: Mapping[str, str], timeout_s: float
) -> Answer:
    """
    Send one POST; redirects are not followed, nothing is repeated.

    Args:
        timeout_s: For all of it: connecting, sending, and the whole answer. (The timeout of
            requests itself is per read, so a slow drip would never end.) Looking up the host may
            take longer; then nothing is sent.

    Raises:
        Unavailable: No answer in time. `is_unknown` unless the connection was never made.
        Rejected: The URL or a header cannot be sent at all.
    """
    try:
        prepared = _prepared(url, data, {"User-Agent": _user_agent(), **headers})
    except (requests.RequestException, ValueError) as exc:
        raise Rejected(f"the request cannot be sent ({type(exc).__name__})") from None
    timeout = (min(timeout_s, CONNECT_TIMEOUT_S), timeout_s)
    _local.is_connected = False
    try:
        with (
            _deadline(timeout_s),
            # not Session.send: it parses the Location of a redirect even if it may not follow,
            # and a bad one ends in a ValueError (requests 2.34)
            _adapter().send(prepared, timeout=timeout, stream=True) as response,
        ):
            return Answer(response.status_code, response.headers, _object(_read(response)))
    except (requests.RequestException, HTTPError) as exc:
        raise Unavailable(
            f"Genesys did not answer ({type(exc).__name__})", is_unknown=_local.is_connected
        ) from None  # the exception's text holds the URL, and its request the token


def _prepared(
    url: str, data: bytes | Mapping[str, str], headers: Mapping[str, str]
) -> requests.PreparedRequest:
    """What `Request.prepare` makes of it, without looking at the host each time: a seventh."""
    _look_at("/".join(url.split("/", 3)[:3]))
    prepared = requests.PreparedRequest()
    prepared.prepare_method("POST")
    # requests decodes %2E, and urllib3 would resolve the dots: the URL goes out as it was given
    prepared.url = url
    prepared.prepare_headers(headers)
    prepared.prepare_body(data, None)
    return prepared


@cache
def _look_at(host: str) -> None:
    requests.PreparedRequest().prepare_url(host, None)


@contextmanager
def _deadline(timeout_s: float) -> Iterator[None]:
    """When the time is over, shut the socket that this thread talks through; send nothing later."""
    _local.connection = _local.sock = None
    _local.ends_at = time.monotonic() + timeout_s
    state = _local.__dict__

    def shut() -> None:
        # a connection lets go of its socket once an answer without a length has begun
        sock = state["sock"] or getattr(state["connection"], "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    with watched(timeout_s, shut) as block:
        try:
            yield
        finally:
            if block.is_over:
                raise requests.ReadTimeout if _local.is_connected else requests.ConnectTimeout


class _Connection(HTTPConnection):
    """Tells this thread which socket is in use, to shut it, and whether a byte may have gone."""

    def connect(self) -> None:
        super().connect()  # with TLS, this includes the handshake
        self._show()
        _local.is_connected = True

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._show()
        _local.is_connected = self.sock is not None
        super().request(*args, **kwargs)
        _local.sock = self.sock

    def _show(self) -> None:
        """
        Let the socket be shut from now on, unless the time was over before there was one.

        Nothing breaks off the question for an address, nor the try of one after another; what
        is sent late goes out beside the next sender's. Shown first and asked then, so that the
        end of the time finds the socket or is found here.
        """
        _local.connection, _local.sock = self, None
        if time.monotonic() >= _local.ends_at:
            raise ConnectTimeoutError(self, "no time was left to send")


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _adapter() -> HTTPAdapter:
    """
    One set of connections a thread: kept alive, never shared.

    Without a Session there is no netrc, which would replace our Authorization header, no proxy
    from the environment, which would see the token, and no cookie.
    """
    adapter: HTTPAdapter | None = getattr(_local, "adapter", None)
    if adapter is None:
        adapter = HTTPAdapter(max_retries=0, pool_connections=4, pool_maxsize=4)
        adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        _local.adapter = adapter
    return adapter


def _read(response: requests.Response) -> bytes:
    """The body as far as it matters; a broken one takes nothing from what the status says."""
    try:
        body: bytes = response.raw.read(MAX_ANSWER_BYTES, decode_content=True)
    except (ProtocolError, DecodeError):
        return b""
    return body


def _object(raw: bytes) -> Mapping[str, Any]:
    """The JSON object in *raw*; gateways answer HTML, or nothing, and that is no reason to fail."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(header: str) -> float | None:
    if header.isascii() and header.isdigit() and len(header) <= 9:
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _line(value: object, limit: int) -> str:
    """*value*, if it is text, cut and with a space for all that a log line cannot hold."""
    text = value[:limit] if isinstance(value, str) else ""
    return "".join(char if char.isprintable() else " " for char in text)


@cache
def _user_agent() -> str:
    return f"Genesys-ToolWorker/{version('toolworker')}"
