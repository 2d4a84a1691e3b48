"""Flask app of the simulated Genesys: its two endpoints, and its own controls under /_sim."""

import json
import time
import urllib.parse
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from simulator import actions, deliveries
from simulator.genesys import Genesys
from simulator.replies import Reply, error, too_many
from simulator.validation import BadOrder

HANG_S = 60.0
"""A "timeout" lets go after this, long after any client has."""

_BEFORE_RUN, _AFTER_RUN = "/api/v2/ai/assistants/runs/", "/tool_calls"
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


def create_app(
    *,
    client_id: str = "demo-client",
    client_secret: str = "demo-secret",  # noqa: S107
    ca_file: Path | None = None,
) -> Flask:
    """
    The WSGI app; serve it with threads, because a fault may hold a request for a minute.

    Args:
        ca_file: Certificates that data actions trust besides those of the machine.
    """
    app = Flask("simulator")
    app.url_map.merge_slashes = False
    app.url_map.converters["run"] = _AnyRun
    genesys = Genesys(client_id, client_secret)
    _serve_genesys(app, genesys)
    _serve_controls(app, genesys)
    _serve_actions(app, ca_file)

    @app.errorhandler(HTTPException)
    def refuse(problem: HTTPException) -> Response:
        status = problem.code or 500
        message = problem.description or problem.name
        if request.path.startswith("/_sim/"):
            return _json({"error": message}, status)
        return _respond(error(status, _CODES.get(status, "error"), message))

    @app.errorhandler(BadOrder)
    def refuse_order(problem: BadOrder) -> Response:
        return _json({"error": str(problem)}, 400)

    @app.after_request
    def name(response: Response) -> Response:
        response.headers["ININ-Correlation-Id"] = str(uuid.uuid4())
        return response

    return app


class _AnyRun(BaseConverter):
    """Matches a run id with slashes too; which one was meant, `_run_id` reads from the wire."""

    regex = ".+?"
    part_isolating = False


def _serve_genesys(app: Flask, genesys: Genesys) -> None:
    @app.post("/oauth/token")
    def token() -> Response:
        with genesys.token_request():
            if fault := genesys.next_fault("token"):
                answer = _faulty(genesys, fault)
                if answer:
                    return answer
            given = request.authorization
            client = (given.username or "", given.password or "") if given else ("", "")
            return _respond(genesys.grant(*client, request.form.get("grant_type", "")))

    @app.post(f"{_BEFORE_RUN}<run:_>{_AFTER_RUN}")
    def submit(_: str) -> Response:
        run_id, at, raw, headers = _run_id(), time.time(), request.get_data(), dict(request.headers)
        if run_id is None:
            return _respond(error(404, "not.found", "The requested resource was not found."))
        fault = genesys.next_fault("submit")
        if fault and fault.get("status") != 200:
            genesys.record(run_id, raw, headers, fault.get("status"), at=at)
            return _faulty(genesys, fault) or Response(status=500)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        key = request.headers.get("Idempotency-Key", "")
        reply, is_duplicate = genesys.judge(run_id, bearer, key, raw)
        genesys.record(run_id, raw, headers, reply.status, at=at, is_duplicate=is_duplicate)
        if fault:  # taken, but the answer comes late
            genesys.forgotten.wait(float(fault.get("delay_s", 0)))
        return _respond(reply)


def _run_id() -> str | None:
    """
    The run id as it was sent: one segment, percent-decoded once.

    The decoded path cannot distinguish an encoded slash from one between segments.
    """
    path = request.environ["REQUEST_URI"].partition("?")[0]
    segment = path.removeprefix(_BEFORE_RUN).removesuffix(_AFTER_RUN)
    return None if "/" in segment else urllib.parse.unquote(segment)


def _serve_controls(app: Flask, genesys: Genesys) -> None:
    @app.get("/_sim/submissions")
    def submissions() -> Response:
        return _json(genesys.submissions(request.args.get("run_id")))

    @app.get("/_sim/tokens")
    def tokens() -> Response:
        state = genesys.state
        most = state.most_token_requests_at_once
        return _json({"requests": state.token_requests, "most_at_once": most})

    @app.put("/_sim/faults")
    def faults() -> Response:
        return _json(genesys.inject(request.get_json()))

    @app.put("/_sim/limits")
    def limits() -> Response:
        return _json(genesys.limit(request.get_json()))

    @app.post("/_sim/deliveries")
    def deliver() -> Response:
        order = deliveries.read(request.get_json())
        genesys.expect(order.delivery)
        return _json([deliveries.send(order) for _ in range(order.times)])

    @app.delete("/_sim/state")
    def forget() -> Response:
        genesys.forget()
        return _json({})


def _serve_actions(app: Flask, ca_file: Path | None) -> None:
    @app.post("/_sim/actions")
    def act() -> Response:
        return _json(actions.run(actions.read(request.get_json()), ca_file=ca_file))


def _faulty(genesys: Genesys, fault: dict[str, Any]) -> Response | None:
    """The answer of a fault; None when it was only late, and the rules decide."""
    kind = fault.get("kind")
    if kind == "timeout":
        genesys.forgotten.wait(HANG_S)
        return _respond(error(504, "request.timeout", "The request timed out."))
    if kind == "drop":
        connection = request.environ["werkzeug.socket"]
        connection.shutdown(2)
        connection.close()
        return Response(status=500)  # the client is gone
    status = int(fault["status"])
    genesys.forgotten.wait(float(fault.get("delay_s", 0)))
    if status == 200:
        return None
    # null leaves Retry-After out, as Genesys does at times even with a 429
    wait = fault.get("retry_after", 1 if status == 429 else None)
    if status == 429:
        reply = too_many(int(wait or 1))
    else:
        code = fault.get("code", _CODES.get(status, "error"))
        reply = error(status, code, fault.get("message", "A fault that was asked for."))
    return _respond(replace(reply, retry_after_s=None if wait is None else int(wait)))


def _respond(reply: Reply) -> Response:
    response = _json(reply.body, reply.status)
    if reply.retry_after_s is not None:
        response.headers["Retry-After"] = str(reply.retry_after_s)
    return response


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, mimetype="application/json")
