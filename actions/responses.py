"""HTTP responses of data actions: JSON for everything, with statuses that virtual agents know."""

from typing import Any

from flask import Flask, Response, g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug import exceptions

from actions import contract
from actions.errors import BadDeadline, Busy, Unauthorized
from db.errors import ToolError
from runtime import logs

STATUSES = {
    "invalid_json": 400,
    "invalid_arguments": 400,
    "too_large": 400,
    "forbidden": 403,
    "unknown_tool": 404,
    "query_failed": 500,
    "internal_error": 500,
    "timeout": 503,
    "unavailable": 503,
}
"""By error code. Agentic virtual agents see the status alone, and know no 413, 422 or 504."""
RETRY_AFTER_S = 1
"""After 429 and 503: slots are free again when a query of some 10 ms has ended."""
MAX_BODY_BYTES = 100_000
"""Above the 65,536 bytes of arguments: slightly larger ones are still read, and refused by name."""

_IN_BAND = {"forbidden", "invalid_json", "invalid_arguments", "too_large", "query_failed"} | {
    "internal_error",
    "timeout",
    "unavailable",
}
"""Codes that `?errors=inband` answers with 200; the rest are an operator's fault."""
_NO_ERROR = {"error": "", "code": "", "retryable": False}
_NO_ROWS = {"found": False, "total": 0, "message": "", "items": []}

_log = logs.get("actions")


def is_in_band() -> bool:
    """Whether the current request wants errors as a 200: `?errors=inband`."""
    return request.args.get("errors") == "inband"


def answer(value: dict[str, Any]) -> Response:
    """A 200 with a tool's rows; with `?errors=inband` it has empty error fields, too."""
    g.code, g.rows = "ok", value["total"]
    return _json({**value, **_NO_ERROR} if is_in_band() else value, 200)


def handle_errors(app: Flask) -> None:
    """Register a handler for every error; no outside bytes make one a 500."""
    for kind, handler in (
        (ToolError, _tool_error),
        (Unauthorized, _unauthorized),
        (BadDeadline, _bad_deadline),
        (Busy, _busy),
        (exceptions.RequestEntityTooLarge, _too_large),
        (exceptions.NotFound, _nowhere),
        (exceptions.MethodNotAllowed, _wrong_method),
        # gunicorn reads chunks while the app reads the body
        (ParseException, _malformed),
        (exceptions.ClientDisconnected, _malformed),
        (exceptions.HTTPException, _other),
        # not Exception: Flask's signal for error trackers is sent for what has no handler alone
        (exceptions.InternalServerError, _unexpected),
    ):
        app.register_error_handler(kind, handler)
    # Flask would log the exception with its text, which can quote the body; `_unexpected` logs it
    app.logger.addFilter(lambda record: not record.exc_info)


def _tool_error(error: ToolError) -> Response:
    g.code = error.code
    # Architect, guides and virtual agents have no place for a list, so all is in the sentence
    listed = "; ".join(f"{v['path'] or '/'} {v['message']}" for v in error.violations)
    sentence = f"{error} {listed}." if listed else str(error)
    if is_in_band() and error.code in _IN_BAND:
        body = {"error": sentence, "code": error.code, "retryable": error.retryable}
        return _json({**_NO_ROWS, **body}, 200)
    status = STATUSES.get(error.code, 500)
    return _error(sentence, error.code, status, is_retryable=error.retryable)


def _unauthorized(_: Unauthorized) -> Response:
    response = _error("The credential is missing or wrong.", "unauthorized", 401)
    response.headers["WWW-Authenticate"] = 'Basic realm="toolworker"'
    return response


def _bad_deadline(error: BadDeadline) -> Response:
    return _error(str(error), "invalid_request", 400)


def _busy(_: Busy) -> Response:
    sentence = "Too many calls at once; try the same call again."
    return _error(sentence, "busy", 429, is_retryable=True)


def _malformed(_: Exception) -> Response:
    return _error("The body did not arrive whole.", "invalid_request", 400)


def _too_large(_: exceptions.RequestEntityTooLarge) -> Response:
    return _error(f"The body is larger than {MAX_BODY_BYTES} bytes.", "too_large", 413)


def _nowhere(_: exceptions.NotFound) -> Response:
    return _error("There is nothing at this address.", "not_found", 404)


def _wrong_method(error: exceptions.MethodNotAllowed) -> Response:
    response = _error(f"This address takes no {request.method}.", "method_not_allowed", 405)
    response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


def _other(error: exceptions.HTTPException) -> Response:
    return _error(f"{error.name}.", "invalid_request", error.code or 400)


def _unexpected(error: exceptions.InternalServerError) -> Response:
    _log.error("action.failed", reason=type(error.original_exception).__name__)
    message = "The tool failed. Do not try the same call again."
    return _tool_error(ToolError("internal_error", message))


def _error(sentence: str, code: str, status: int, *, is_retryable: bool = False) -> Response:
    g.code = code
    response = _json({"error": sentence, "code": code, "retryable": is_retryable}, status)
    if status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _json(value: dict[str, Any], status: int) -> Response:
    return Response(contract.text(value) + "\n", status, mimetype="application/json")
