"""The receiver: verify, parse, accept in the ledger, publish one message, answer 202."""

import re
import secrets as randomness
import time

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from runtime import logs, metrics, settings
from tasks.door import Door, open_door
from webhook.answers import answer_errors
from webhook.arrival import MAX_BODY_BYTES
from webhook.delivery import parse
from webhook.errors import BadDelivery
from webhook.signature import verify

_PATH = "/webhook/tool-calls"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what can stand in a log line unquoted

_log = logs.get("webhook")


def build() -> Flask:
    """Make the app of one gunicorn worker."""
    logs.configure()
    door = open_door()
    values = settings.load()
    schemes, secrets = values.webhook_schemes(), values.secrets()
    if schemes == ["none"]:
        _log.warning("webhook.unprotected", meaning="WEBHOOK_AUTH=none: anyone may send deliveries")
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would be an answer that nobody described
    # one more than allowed: of a body without a length Werkzeug gives what fits, and says no more
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1

    @app.post(_PATH)
    def tool_calls() -> tuple[Response, int]:
        body = request.get_data(cache=False)
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        headers = dict(request.headers)
        verify(headers, body, schemes=schemes, secrets=secrets, now=time.time())
        if request.mimetype != "application/json":
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
    _name_requests(app)
    return app


def _name_requests(app: Flask) -> None:
    """Each request has an id, the sender's own if it is a plain one, in its answer and its logs."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else randomness.token_hex(8)
        g.began = time.monotonic()
        logs.begin(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if request.path == _PATH:
            answer = "duplicate" if "is_duplicate" in g else str(response.status_code)
            metrics.count("deliveries", answer=answer)
        if 400 <= response.status_code < 500:
            took_ms = round((time.monotonic() - g.began) * 1000)
            _log.info("request.refused", status=response.status_code, took_ms=took_ms)
        return response


def _accept(door: Door, body: bytes) -> tuple[Response, int]:
    delivery = parse(body)
    accepted = door(delivery["run_id"], delivery["tool_calls"])
    answer: dict[str, object] = {
        "status": "accepted",
        "run_id": delivery["run_id"],
        "key": accepted.key,
    }
    if accepted.is_duplicate:
        answer["duplicate"] = g.is_duplicate = True
    return jsonify(answer), 202
