"""The receiver: verify, parse, accept in the ledger, publish one message, answer 202."""

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
)

from runtime import logs, settings
from tasks.door import open_door
from tasks.errors import Conflict, LedgerUnavailable
from webhook.delivery import parse
from webhook.errors import BadDelivery, BadSignature
from webhook.signature import verify

MAX_BODY_BYTES = 1_000_000
"""Twice what a whole submission may hold (512,000 bytes): no sound delivery comes near."""
RETRY_AFTER_S = 5
"""What a sender is asked to wait after a 503; Genesys itself retries 5 s apart."""

_log = logs.get("webhook")


def build() -> Flask:
    """Make the app of one gunicorn worker."""
    logs.configure()
    accept = open_door()
    secrets = settings.load().secrets()
    app = Flask(__name__, static_folder=None)
    # one more than allowed: of a body without a length Werkzeug gives what fits, and says no more
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1

    @app.post("/webhook/tool-calls")
    def tool_calls() -> tuple[Response, int]:
        body = request.get_data(cache=False)
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        verify(dict(request.headers), body, secrets=secrets)
        if request.mimetype != "application/json":
            raise BadDelivery("The content type is not application/json.", status=415)
        delivery = parse(body)
        accepted = accept(delivery["run_id"], delivery["tool_calls"])
        answer: dict[str, object] = {
            "status": "accepted",
            "run_id": delivery["run_id"],
            "key": accepted.key,
        }
        if accepted.is_duplicate:
            answer["duplicate"] = True
        return jsonify(answer), 202

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        missing = accept.missing()
        if missing:
            return {"error": f"Not ready: {', '.join(missing)} cannot be reached."}, 503
        return {"status": "ready"}, 200

    _answer_errors(app)
    return app


def _answer_errors(app: Flask) -> None:
    """Every error is JSON with one sentence, and no outside bytes make one a 500."""

    @app.errorhandler(BadSignature)
    def unsigned(_: BadSignature) -> tuple[dict[str, str], int]:
        return {"error": "The signature is missing or wrong."}, 401

    @app.errorhandler(BadDelivery)
    def misunderstood(error: BadDelivery) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, error.status

    @app.errorhandler(Conflict)
    def conflict(_: Conflict) -> tuple[dict[str, str], int]:
        return {"error": "These call ids were accepted before with other names or arguments."}, 409

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> tuple[dict[str, str], int]:
        return {"error": f"The body is larger than {MAX_BODY_BYTES} bytes."}, 413

    @app.errorhandler(NotFound)
    def nowhere(_: NotFound) -> tuple[dict[str, str], int]:
        return {"error": "There is nothing at this address."}, 404

    @app.errorhandler(MethodNotAllowed)
    def wrong_method(error: MethodNotAllowed) -> tuple[dict[str, str], int, dict[str, str]]:
        allowed = {"Allow": ", ".join(sorted(error.valid_methods or ()))}
        return {"error": f"This address takes no {request.method}."}, 405, allowed

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> tuple[dict[str, str], int]:
        return {"error": f"{error.name}."}, error.code or 400

    @app.errorhandler(LedgerUnavailable)
    def away(_: LedgerUnavailable) -> tuple[dict[str, str], int, dict[str, str]]:
        _log.warning("delivery.refused", reason="the ledger did not answer")
        return _TRY_LATER

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> tuple[dict[str, str], int, dict[str, str]]:
        # nothing was accepted, so the sender may try again; only the kind goes to the log,
        # since an exception's text can quote the body
        _log.error("delivery.refused", reason=type(error).__name__)
        return _TRY_LATER


_TRY_LATER = (
    {"error": "The run cannot be stored right now; send it again later."},
    503,
    {"Retry-After": str(RETRY_AFTER_S)},
)
