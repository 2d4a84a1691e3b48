"""The receiver: verify, parse, accept in the ledger, publish one message, answer 202."""

import time
from typing import TYPE_CHECKING

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from runtime import logs, settings
from webhook import intake
from webhook.answers import answer_errors
from webhook.arrival import MAX_BODY_BYTES
from webhook.delivery import parse
from webhook.errors import BadDelivery
from webhook.intake import Intake
from webhook.lean import LeanFlask, WholeResponse
from webhook.naming import ANSWER, NamedRequests
from webhook.signature import headers_of, verify

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_PATH = "/webhook/tool-calls"
_JSON = "application/json"

_log = logs.get("webhook")


def build() -> Flask:
    """Make the app of one gunicorn worker."""
    logs.configure()
    intake.check()
    door = Intake()
    values = settings.load()
    schemes, secrets = values.webhook_schemes(), values.secrets()
    if schemes == ["none"]:
        _log.warning("webhook.unprotected", meaning="WEBHOOK_AUTH=none: anyone may send deliveries")
    # WSGI's names; reading these alone costs a tenth of reading all headers
    proofs = {n: f"HTTP_{n.upper().replace('-', '_')}" for n in headers_of(schemes)}
    app = LeanFlask(__name__)
    app.url_map.merge_slashes = False  # a redirect would be an answer that nobody described
    # one more than allowed: of a body without a length Werkzeug gives what fits, and says no more
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1

    @app.post(_PATH)
    def tool_calls() -> Response:
        environ = request.environ
        body = body_of(environ)
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
            return {"error": f"Not ready: {', '.join(missing)} takes no new runs."}, 503
        return {"status": "ready"}, 200

    answer_errors(app)
    app.wsgi_app = NamedRequests(app.wsgi_app, _PATH)  # type: ignore[method-assign]
    return app


def body_of(environ: "WSGIEnvironment") -> bytes:
    """
    The raw body of the request in hand.

    Raises:
        RequestEntityTooLarge: It has more than `MAX_BODY_BYTES`.
    """
    if environ.get("wsgi.input_terminated"):  # as gunicorn does: it ends where the body does
        body: bytes = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    else:
        body = request.get_data(cache=False)
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return body


def _accept(door: Intake, body: bytes) -> Response:
    delivery = parse(body)
    accepted = door.accept(delivery["run_id"], delivery["tool_calls"])
    answer: dict[str, object] = {
        "status": "accepted",
        "run_id": delivery["run_id"],
        "key": accepted.key,
    }
    if accepted.is_duplicate:
        answer["duplicate"] = True
        request.environ[ANSWER] = "duplicate"
    return WholeResponse("202 ACCEPTED", msgspec.json.encode(answer) + b"\n")
