"""The simulated Genesys over HTTP: its two endpoints, and its own controls under /_sim."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

from flask import Flask, Response, request

from simulator.genesys import Genesys, Reply, error, too_many

HANG_S = 60.0
"""A "timeout" lets go after this, long after any client has."""

_PATH = "/api/v2/ai/assistants/runs/<path:run_id>/tool_calls"
_CODES = {
    400: "bad.request",
    401: "bad.credentials",
    403: "missing.permissions",
    404: "not.found",
    413: "request.entity.too.large",
    415: "unsupported.media.type",
    422: "payload.or.params.invalid",
    500: "internal.server.error",
    503: "service.unavailable",
    504: "request.timeout",
}


def create_app(*, client_id: str = "demo-client", client_secret: str = "demo-secret") -> Flask:  # noqa: S107
    """The WSGI app; serve it with threads, because a fault may hold a request for a minute."""
    app = Flask("simulator")
    app.url_map.merge_slashes = False
    genesys = Genesys(client_id, client_secret)
    _serve_genesys(app, genesys)
    _serve_controls(app, genesys)

    @app.after_request
    def name(response: Response) -> Response:
        response.headers["ININ-Correlation-Id"] = str(uuid.uuid4())
        return response

    return app


def _serve_genesys(app: Flask, genesys: Genesys) -> None:
    @app.post("/oauth/token")
    def token() -> Response:
        fault = genesys.next_fault("token")
        if fault:
            return _faulty(genesys, fault) or Response(status=500)
        given = request.authorization
        client = (given.username or "", given.password or "") if given else ("", "")
        return _respond(genesys.grant(*client, request.form.get("grant_type", "")))

    @app.post(_PATH)
    def submit(run_id: str) -> Response:
        at, raw, headers = time.time(), request.get_data(), dict(request.headers)
        fault = genesys.next_fault("submit")
        if fault and not ("delay_s" in fault and fault.get("status") == 200):
            status = fault.get("status")
            genesys.record(run_id, raw, headers, status, at=at)
            answer = _faulty(genesys, fault)
            if answer is not None:
                return answer
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        reply = genesys.judge(run_id, bearer, request.headers.get("Idempotency-Key", ""), raw)
        genesys.record(run_id, raw, headers, reply.status, at=at)
        if fault:  # taken, but the answer comes too late
            genesys.forgotten.wait(float(fault["delay_s"]))
        return _respond(reply)


def _serve_controls(app: Flask, genesys: Genesys) -> None:
    @app.get("/_sim/submissions")
    def submissions() -> Response:
        return _json(genesys.submissions(request.args.get("run_id")))

    @app.get("/_sim/tokens")
    def tokens() -> Response:
        return _json({"requests": genesys.state.token_requests})

    @app.put("/_sim/faults")
    def faults() -> Response:
        genesys.configure(faults=request.get_json())
        return _json({"faults": genesys.state.faults})

    @app.put("/_sim/limits")
    def limits() -> Response:
        genesys.configure(**request.get_json())
        return _json(request.get_json())

    @app.post("/_sim/deliveries")
    def deliver() -> Response:
        order = request.get_json()
        genesys.expect(order["delivery"])
        body = json.dumps(order["delivery"]).encode()
        secret = order["secret"].encode()
        sent = [_send(order["url"], body, secret) for _ in range(order.get("times", 1))]
        return _json(sent)

    @app.delete("/_sim/state")
    def forget() -> Response:
        genesys.forget()
        return _json({})


def _faulty(genesys: Genesys, fault: dict[str, Any]) -> Response | None:
    """The answer of a fault; None for a dropped connection, whose socket is closed already."""
    kind = fault.get("kind")
    if kind == "timeout":
        genesys.forgotten.wait(HANG_S)
        return _respond(error(504, "request.timeout", "The request timed out."))
    if kind == "drop":
        connection = request.environ["werkzeug.socket"]
        connection.shutdown(2)
        connection.close()
        return Response(status=500)
    status = int(fault["status"])
    if "delay_s" in fault:
        genesys.forgotten.wait(float(fault["delay_s"]))
    if status == 429:
        return _respond(too_many(int(fault.get("retry_after", 1))))
    if status == 200:
        return None
    code = fault.get("code", _CODES.get(status, "error"))
    return _respond(error(status, code, fault.get("message", "A fault that was asked for.")))


def _respond(reply: Reply) -> Response:
    response = _json(reply.body)
    response.status_code = reply.status
    if reply.retry_after_s is not None:
        response.headers["Retry-After"] = str(reply.retry_after_s)
    return response


def _json(value: Any) -> Response:
    return Response(json.dumps(value), mimetype="application/json")


def _send(url: str, body: bytes, secret: bytes) -> dict[str, Any]:
    """One signed delivery, as Genesys' Open Messaging signs them."""
    digest = hmac.new(secret, body, hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": "sha256=" + base64.b64encode(digest).decode(),
    }
    started = time.monotonic()
    try:
        with urllib.request.urlopen(  # noqa: S310  (the tester's own URL)
            urllib.request.Request(url, body, headers),  # noqa: S310
            timeout=10,
        ) as response:
            status, answer = response.status, response.read()
    except urllib.error.HTTPError as refusal:
        status, answer = refusal.code, refusal.read()
    except OSError as failure:
        status, answer = 0, str(failure).encode()
    took_ms = round((time.monotonic() - started) * 1000)
    return {"status": status, "body": answer.decode(errors="replace"), "took_ms": took_ms}
