"""Each request has an id, the sender's own if it is a plain one, in its answer and its logs."""

import re
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from runtime import logs, metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ANSWER = "toolworker.answer"
"""In the request's environment: what a delivery is counted as, unless as its status."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what can stand in a log line unquoted

_log = logs.get("webhook")


class NamedRequests:
    """
    Wraps an app, at a third of what Flask's hooks around a request cost.

    Args:
        path: Where deliveries go; answers there are counted.
    """

    def __init__(self, app: "WSGIApplication", path: str) -> None:
        self._app = app
        self._path = path

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        began = time.monotonic()
        logs.begin(request_id=request_id)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            headers.append(("X-Request-Id", request_id))
            if environ["PATH_INFO"] == self._path:
                metrics.count("deliveries", answer=environ.get(ANSWER, status[:3]))
            if status[0] == "4":
                took_ms = round((time.monotonic() - began) * 1000)
                _log.info("request.refused", status=int(status[:3]), took_ms=took_ms)
            return start_response(status, headers, *more)

        return self._app(environ, start)
