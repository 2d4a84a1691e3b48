"""The receiver: verify, parse, accept in the ledger, publish one message, answer 202."""

import time

from flask import Flask, Response, g, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from runtime import logs, metrics, risks, settings
from runtime.trace_context import parse_traceparent
from webhook.delivery import MAX_BODY_BYTES, parse
from webhook.error_handlers import handle_errors
from webhook.errors import BadDelivery
from webhook.intake import Intake, check
from webhook.request_id import identify_requests
from webhook.signature import verify

_PATH = "/webhook/tool-calls"

_log = logs.get("webhook")


def build() -> Flask:
    """Make the app of one gunicorn worker."""
    logs.configure()
    check()
    intake = Intake()
    values = settings.load()
    risks.log_risks(values)
    schemes, secrets = values.webhook_schemes(), values.secrets()
    if schemes == ["none"]:
        _log.warning("webhook.unprotected", meaning="WEBHOOK_AUTH=none: anyone may send deliveries")
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would be an answer that nobody described
    # One more than allowed: Werkzeug 3.1 cuts a body without a length at this many bytes, without
    # an error, and only the extra one shows that there were more.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    identify_requests(app)
    handle_errors(app)

    @app.before_request
    def refuse_more_slashes() -> None:
        if request.environ["PATH_INFO"].startswith("//"):  # Werkzeug 3.1 reads //livez as /livez
            raise NotFound

    @app.post(_PATH)
    def tool_calls() -> tuple[dict[str, object], int]:
        body = _body()
        verify(dict(request.headers), body, schemes=schemes, secrets=secrets, now=time.time())
        if request.mimetype != "application/json":
            raise BadDelivery("The content type is not application/json.", status=415)
        return _accept(intake, body), 202

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        missing = intake.missing()
        if missing:
            return {"error": f"Not ready: the ledger takes no new runs: {missing}."}, 503
        return {"status": "ready"}, 200

    @app.after_request
    def count(response: Response) -> Response:
        if request.path == _PATH:
            metrics.count("deliveries", answer=g.get("answer", str(response.status_code)))
        return response

    return app


def _body() -> bytes:
    """
    The raw body of the current request.

    Raises:
        BadDelivery: It is compressed. Seen before the signature, which a sender may have made
            over either form; "wrong signature" would send its operator looking for a secret.
        RequestEntityTooLarge: It has more than `MAX_BODY_BYTES`.
        ClientDisconnected, ParseException: It did not arrive whole (`error_handlers.py`).
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise BadDelivery("The body is compressed; send it without Content-Encoding.", status=415)
    body = request.get_data()
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return body


def _accept(intake: Intake, body: bytes) -> dict[str, object]:
    delivery = parse(body)
    run_id = delivery["run_id"]
    traceparent = parse_traceparent(request.headers.get("traceparent", ""))
    accepted = intake.accept(run_id, delivery["tool_calls"], traceparent)
    answer: dict[str, object] = {"status": "accepted", "run_id": run_id, "key": accepted.key}
    if accepted.is_duplicate:
        answer["duplicate"] = True
        g.answer = "duplicate"
    return answer
