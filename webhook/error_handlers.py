"""Error responses of the receiver: JSON with one sentence, for every error."""

from flask import Flask, request
from flask.typing import ResponseReturnValue
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug import exceptions

from ledger.errors import Busy, Conflict, LedgerUnavailable
from runtime import logs
from webhook.delivery import MAX_BODY_BYTES
from webhook.errors import BadDelivery, BadSignature
from webhook.gunicorn import STALL_S

RETRY_AFTER_S = 5
"""Retry-After of a 503 that has none of its own; Genesys itself retries 5 s apart."""

_log = logs.get("webhook")

_FIXED: tuple[tuple[type[Exception], int, str], ...] = (
    (BadSignature, 401, "The signature is missing or wrong."),
    (exceptions.NotFound, 404, "There is nothing at this address."),
    (
        Conflict,
        409,
        "These call ids were accepted before with other names, arguments or bound values.",
    ),
    (exceptions.RequestEntityTooLarge, 413, f"The body is larger than {MAX_BODY_BYTES} bytes."),
    # gunicorn reads chunks while the app reads the body
    (ParseException, 400, "The request is not valid HTTP."),
)


def handle_errors(app: Flask) -> None:
    """Register a handler for every error; no outside bytes make one a 500."""
    for kind, status, sentence in _FIXED:
        answer = {"error": sentence}, status
        app.register_error_handler(kind, lambda _, answer=answer: answer)
    for kind, handler in (
        (BadDelivery, _bad_delivery),
        (exceptions.MethodNotAllowed, _wrong_method),
        (exceptions.ClientDisconnected, _incomplete),
        (exceptions.HTTPException, _other),
        (LedgerUnavailable, lambda _: _try_later("the ledger did not answer")),
        (Busy, _busy),
        # not Exception: Flask's signal for error trackers is sent for what has no handler alone
        (exceptions.InternalServerError, _unexpected),
    ):
        app.register_error_handler(kind, handler)
    # Flask would log the exception with its text, which can quote the body; `_unexpected` logs it
    app.logger.addFilter(lambda record: not record.exc_info)


def _bad_delivery(error: BadDelivery) -> ResponseReturnValue:
    return {"error": str(error)}, error.status


def _wrong_method(error: exceptions.MethodNotAllowed) -> ResponseReturnValue:
    allowed = {"Allow": ", ".join(sorted(error.valid_methods or ()))}
    return {"error": f"This address takes no {request.method}."}, 405, allowed


def _incomplete(error: exceptions.ClientDisconnected) -> ResponseReturnValue:
    # Werkzeug raises this one while it handles what reading raised
    if isinstance(error.__context__, BlockingIOError):  # SO_RCVTIMEO (webhook/gunicorn.py)
        return {"error": f"The body did not arrive: nothing came for {STALL_S} s."}, 408
    return {"error": "The body did not arrive whole."}, 400


def _other(error: exceptions.HTTPException) -> ResponseReturnValue:
    return {"error": f"{error.name}."}, error.code or 400


def _busy(error: Busy) -> ResponseReturnValue:
    _log.warning("delivery.refused", reason="busy", retry_after_s=error.retry_after_s)
    sentence = "Too many runs wait to begin; send it again later."
    return {"error": sentence}, 503, {"Retry-After": str(error.retry_after_s)}


def _unexpected(error: exceptions.InternalServerError) -> ResponseReturnValue:
    # nothing was accepted, so the sender may try again
    _log.error("delivery.failed", reason=type(error.original_exception).__name__)
    return _try_later("unexpected")


def _try_later(reason: str) -> ResponseReturnValue:
    _log.warning("delivery.refused", reason=reason)
    sentence = "The run cannot be stored right now; send it again later."
    return {"error": sentence}, 503, {"Retry-After": str(RETRY_AFTER_S)}
