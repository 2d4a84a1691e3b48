"""Flask app of the receiver: verify, parse, accept in the ledger, publish a message, answer 202."""

import time
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from db.catalog import Catalog
from ledger.values import Delivery
from runtime import logs, metrics, risks, settings
from runtime.trace_context import parse_traceparent
from webhook.context import Context, unsigned_risk
from webhook.delivery import MAX_BODY_BYTES, delivery_of, read
from webhook.error_handlers import handle_errors
from webhook.errors import BadDelivery
from webhook.intake import Intake, kept
from webhook.request_id import identify_requests
from webhook.signature import verify

_PATH = "/webhook/tool-calls"

_log = logs.get("webhook")


def build() -> Flask:
    """Make the app of one gunicorn worker."""
    logs.configure()
    tools = kept()
    intake = Intake()
    values = settings.load()
    _log_risks(values, tools)
    context = Context(tools, is_unsigned_bound=values.webhook_bind_unsigned)
    schemes, secrets = values.webhook_schemes(), values.secrets()
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a redirect is not among the responses of openapi.yaml
    # One more than allowed: Werkzeug 3.1 cuts a body without a length at this many bytes, without
    # an error, and only the extra one shows that there were more.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    app.config["DEBUG"] = False  # whatever FLASK_DEBUG says: unexpected errors are answered, too
    identify_requests(app)
    handle_errors(app)

    @app.before_request
    def refuse_more_slashes() -> None:
        if request.environ["PATH_INFO"].startswith("//"):  # Werkzeug 3.1 reads //livez as /livez
            raise NotFound

    @app.post(_PATH)
    def tool_calls() -> tuple[dict[str, object], int]:
        body = _body()
        headers = dict(request.headers)
        is_signed = verify(headers, body, schemes=schemes, secrets=secrets, now=time.time())
        if request.mimetype != "application/json":
            raise BadDelivery("The content type is not application/json.", status=415)
        value = read(body)
        delivery = delivery_of(value)
        bound = context.values(delivery["tool_calls"], value, headers, is_signed=is_signed)
        return _accept(intake, delivery, bound), 202

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        missing = intake.missing()
        if missing:
            return {"error": f"Not ready: the ledger takes no new runs: {missing}."}, 503
        return {"status": "ready"}, 200

    app.after_request(_count)
    return app


def _log_risks(values: settings.Settings, tools: Catalog) -> None:
    risks.log_risks(values)
    schemes = values.webhook_schemes()
    risk = unsigned_risk(tools, schemes, is_unsigned_bound=values.webhook_bind_unsigned)
    if risk:
        _log.warning("webhook.bind_unsigned", meaning=risk)
    if schemes == ["none"]:
        _log.warning("webhook.unprotected", meaning="WEBHOOK_AUTH=none: anyone may send deliveries")


def _count(response: Response) -> Response:
    if request.path == _PATH:
        metrics.count("deliveries", answer=g.get("answer", str(response.status_code)))
    return response


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


def _accept(intake: Intake, delivery: Delivery, context: Mapping[str, Any]) -> dict[str, object]:
    traceparent = parse_traceparent(request.headers.get("traceparent", ""))
    accepted = intake.accept(delivery, context, traceparent)
    ids = {"run_id": delivery["run_id"], "key": accepted.key}
    answer: dict[str, object] = {"status": "accepted", **ids}
    if accepted.is_duplicate:
        answer["duplicate"] = True
        g.answer = "duplicate"
    return answer
