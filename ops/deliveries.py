"""HTTP client for operators: sign and send a delivery, GET a page."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A proxy from the environment must not come between us and a server on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoAnswer(Exception):
    """Nothing answered at that address, or not in time."""


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the body's JSON (None when it is no JSON) and the time taken."""

    status: int
    body: Any
    took_ms: int


def signature(body: bytes, secret: bytes) -> str:
    """The value of `X-Hub-Signature-256`: base64, unlike the hex digits of other senders."""
    digest = hmac.new(secret, body, hashlib.sha256).digest()
    return "sha256=" + base64.b64encode(digest).decode()


def send(
    url: str,
    body: bytes,
    *,
    secret: bytes,
    timeout_s: float = 10.0,
    more_headers: Mapping[str, str] | None = None,
) -> Answer:
    """
    POST *body*, signed, and return the answer, whatever its status.

    Raises:
        NoAnswer: No connection, or no answer within *timeout_s*.
    """
    headers = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": signature(body, secret),
        **(more_headers or {}),
    }
    return _request(urllib.request.Request(url, body, headers), timeout_s)  # noqa: S310


def post(url: str, value: Any, *, timeout_s: float = 70.0) -> Answer:
    """
    POST *value* as JSON, unsigned, and return the answer, whatever its status.

    Raises:
        NoAnswer: No connection, or no answer within *timeout_s*.
    """
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(value).encode(), headers)  # noqa: S310
    return _request(request, timeout_s)


def get(url: str, *, timeout_s: float = 5.0) -> Answer:
    """
    GET *url* and return the answer, whatever its status.

    Raises:
        NoAnswer: No connection, or no answer within *timeout_s*.
    """
    return _request(urllib.request.Request(url), timeout_s)  # noqa: S310


def get_text(url: str, *, timeout_s: float = 5.0) -> str:
    """
    The text at *url*.

    Raises:
        NoAnswer: No connection, no answer within *timeout_s*, or no 200.
    """
    try:
        with _opener.open(url, timeout=timeout_s) as response:
            return str(response.read().decode())
    except OSError as exc:
        raise NoAnswer(f"no answer from {url}: {exc}") from exc


def _request(request: urllib.request.Request, timeout_s: float) -> Answer:
    started = time.monotonic()
    try:
        try:
            with _opener.open(request, timeout=timeout_s) as response:
                status, raw = response.status, response.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                status, raw = refusal.code, refusal.read()
    except OSError as exc:
        reason = getattr(exc, "reason", None) or exc
        raise NoAnswer(f"no answer from {request.full_url}: {reason}") from exc
    return Answer(status, _json(raw), round((time.monotonic() - started) * 1000))


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
