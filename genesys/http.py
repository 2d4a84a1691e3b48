"""One HTTP request with one deadline, and what its answer or failure says."""

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from genesys.errors import Unavailable

MAX_ANSWER_BYTES = 65_536
"""Read of an answer; an error body has a few hundred bytes, and a token fewer."""

CONNECT_TIMEOUT_S = 3.05
"""Just above TCP's first retransmission after 3 s."""

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
        code = self.body.get("code") or self.body.get("error")
        return code[:100] if isinstance(code, str) else None

    @property
    def message(self) -> str:
        """What Genesys said, cut to 300 characters."""
        for name in ("message", "error_description", "description"):
            if isinstance(text := self.body.get(name), str) and text:
                return text[:300]
        return ""

    @property
    def correlation_id(self) -> str | None:
        """The id that Genesys' support asks for."""
        found = self.headers.get("ININ-Correlation-Id") or self.body.get("contextId")
        return found[:100] if isinstance(found, str) else None

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
            requests itself is per read, so a slow drip would never end.)

    Raises:
        Unavailable: No answer in time. `is_unknown` unless the connection was never made.
    """
    session = _session()
    prepared = session.prepare_request(requests.Request("POST", url, headers=headers, data=data))
    # requests decodes %2E, and urllib3 would resolve the dots: the URL goes out as it was given
    prepared.url = url
    timeout = (min(timeout_s, CONNECT_TIMEOUT_S), timeout_s)
    try:
        with (
            _deadline(timeout_s),
            session.send(prepared, timeout=timeout, allow_redirects=False, stream=True) as response,
        ):
            raw = response.raw.read(MAX_ANSWER_BYTES, decode_content=True)
            return Answer(response.status_code, response.headers, _object(raw))
    except (requests.RequestException, HTTPError) as exc:
        raise Unavailable(
            f"Genesys did not answer ({type(exc).__name__})", is_unknown=not _never_sent(exc)
        ) from None  # the exception's text holds the URL, and its request the token


@contextmanager
def _deadline(timeout_s: float) -> Iterator[None]:
    """Shut the socket that this thread talks through when the time is over."""
    _local.connection = _local.sock = None
    is_over = threading.Event()
    state = _local.__dict__

    def shut() -> None:
        is_over.set()
        # a connection lets go of its socket once an answer without a length has begun
        sock = state["sock"] or getattr(state["connection"], "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    watchdog = threading.Timer(timeout_s, shut)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        if is_over.is_set():
            raise requests.ReadTimeout


class _Connection(HTTPConnection):
    """Tells this thread which connection is in use, so that its socket can be shut."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        _local.connection, _local.sock = self, None
        super().request(*args, **kwargs)
        _local.sock = self.sock


class _SecureConnection(HTTPSConnection):
    """The same over TLS."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        _local.connection, _local.sock = self, None
        super().request(*args, **kwargs)
        _local.sock = self.sock


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _never_sent(error: Exception) -> bool:
    """Whether the request cannot have reached Genesys: no connection was made."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _session() -> requests.Session:
    """One session a thread, so that connections are kept alive and never shared."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = requests.Session()
        # A netrc entry would replace our Authorization header, a proxy see the token.
        session.trust_env = False
        adapter = HTTPAdapter(max_retries=0, pool_connections=4, pool_maxsize=4)
        adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        _local.session = session
    return session


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
