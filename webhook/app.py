"""The receiver: verify, parse, accept in the ledger, publish one message, answer 202."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from flask import Flask, Request, Response, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import MapAdapter

from runtime import logs, settings
from tasks.door import Door, open_door
from webhook.answers import answer_errors
from webhook.arrival import MAX_BODY_BYTES
from webhook.delivery import parse
from webhook.errors import BadDelivery
from webhook.naming import ANSWER, NamedRequests
from webhook.signature import headers_of, verify

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PATH = "/webhook/tool-calls"
_JSON = "application/json"

_log = logs.get("webhook")


class _Receiver(Flask):
    """Flask, without asking at which of its addresses it was reached: it answers at any."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)


class _Whole(Response):
    """An answer with all its headers; Werkzeug would look each time for what they lack."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        return [self.get_data()]


def build() -> Flask:
    """Make the app of one gunicorn worker."""
    logs.configure()
    door = open_door()
    values = settings.load()
    schemes, secrets = values.webhook_schemes(), values.secrets()
    if schemes == ["none"]:
        _log.warning("webhook.unprotected", meaning="WEBHOOK_AUTH=none: anyone may send deliveries")
    # WSGI's names; reading these alone costs a tenth of reading all headers
    proofs = {n: f"HTTP_{n.upper().replace('-', '_')}" for n in headers_of(schemes)}
    app = _Receiver(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would be an answer that nobody described
    # one more than allowed: of a body without a length Werkzeug gives what fits, and says no more
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1

    @app.post(_PATH)
    def tool_calls() -> Response:
        body = request.get_data(cache=False)
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        environ = request.environ
        headers = {name: environ[field] for name, field in proofs.items() if field in environ}
        verify(headers, body, schemes=schemes, secrets=secrets, now=time.time())
        if environ.get("CONTENT_TYPE") != _JSON and request.mimetype != _JSON:
            raise BadDelivery("The content type is not application/json.", status=415)
        return _accept(door, body)

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        missing = door.missing()
        if missing:
            return {"error": f"Not ready: {', '.join(missing)} cannot be reached."}, 503
        return {"status": "ready"}, 200

    answer_errors(app)
    app.wsgi_app = NamedRequests(app.wsgi_app, _PATH)  # type: ignore[method-assign]
    return app


def _accept(door: Door, body: bytes) -> Response:
    delivery = parse(body)
    accepted = door(delivery["run_id"], delivery["tool_calls"])
    answer: dict[str, object] = {
        "status": "accepted",
        "run_id": delivery["run_id"],
        "key": accepted.key,
    }
    if accepted.is_duplicate:
        answer["duplicate"] = True
        request.environ[ANSWER] = "duplicate"
    return _Whole(msgspec.json.encode(answer) + b"\n", 202, content_type=_JSON)
