"""Request ids: the sender's own or a new one, in the response and in each log line."""

import re
import secrets
import time

from flask import Flask, Response, g, request

from runtime import logs

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what can stand in a log line unquoted

_log = logs.get("webhook")


def identify_requests(app: Flask) -> None:
    """Give each request of *app* an id, and each refused one a log line."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    g.began = time.monotonic()
    logs.begin(request_id=g.request_id)


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    if 400 <= response.status_code < 500:
        took_ms = round((time.monotonic() - g.began) * 1000)
        _log.info("request.refused", status=response.status_code, took_ms=took_ms)
    return response
