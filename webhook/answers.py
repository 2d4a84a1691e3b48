"""What the receiver says to whom it does not let in: JSON with one sentence, for every error."""

from flask import Flask, request
from gunicorn.http.errors import NoMoreData, ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
)

from ledger.errors import Busy, Conflict, LedgerUnavailable
from runtime import logs
from webhook.arrival import MAX_BODY_BYTES
from webhook.errors import BadDelivery, BadSignature

RETRY_AFTER_S = 5
"""What a sender is asked to wait after a 503; Genesys itself retries 5 s apart."""

_log = logs.get("webhook")

Answer = tuple[dict[str, str], int]
AnswerWithHeaders = tuple[dict[str, str], int, dict[str, str]]


def answer_errors(app: Flask) -> None:
    """Give *app* an answer for every error; no outside bytes make one a 500."""
    for kind, answer in (
        (BadSignature, _unsigned),
        (BadDelivery, _misunderstood),
        (Conflict, _conflict),
        (RequestEntityTooLarge, _too_large),
        (NotFound, _nowhere),
        (MethodNotAllowed, _wrong_method),
        (HTTPException, _other),
        (ParseException, _broken),  # of a chunk, seen only while the body is read
        (NoMoreData, _broken),
        (LedgerUnavailable, _away),
        (Busy, _busy),
        (Exception, _unexpected),
    ):
        app.register_error_handler(kind, answer)


def _unsigned(_: BadSignature) -> Answer:
    return {"error": "The signature is missing or wrong."}, 401


def _misunderstood(error: BadDelivery) -> Answer:
    return {"error": str(error)}, error.status


def _conflict(_: Conflict) -> Answer:
    return {"error": "These call ids were accepted before with other names or arguments."}, 409


def _too_large(_: RequestEntityTooLarge) -> Answer:
    return {"error": f"The body is larger than {MAX_BODY_BYTES} bytes."}, 413


def _nowhere(_: NotFound) -> Answer:
    return {"error": "There is nothing at this address."}, 404


def _wrong_method(error: MethodNotAllowed) -> AnswerWithHeaders:
    allowed = {"Allow": ", ".join(sorted(error.valid_methods or ()))}
    return {"error": f"This address takes no {request.method}."}, 405, allowed


def _broken(_: Exception) -> Answer:
    return {"error": "The request is not valid HTTP."}, 400


def _other(error: HTTPException) -> Answer:
    return {"error": f"{error.name}."}, error.code or 400


def _away(_: LedgerUnavailable) -> AnswerWithHeaders:
    return _try_later("the ledger did not answer")


def _busy(error: Busy) -> AnswerWithHeaders:
    _log.warning("delivery.refused", reason="busy", retry_after_s=error.retry_after_s)
    sentence = "Too many runs wait to begin; send it again later."
    return {"error": sentence}, 503, {"Retry-After": str(error.retry_after_s)}


def _unexpected(error: Exception) -> AnswerWithHeaders:
    # nothing was accepted, so the sender may try again; only the kind goes to the log,
    # since an exception's text can quote the body
    _log.error("delivery.failed", reason=type(error).__name__)
    return _try_later("unexpected")


def _try_later(reason: str) -> AnswerWithHeaders:
    _log.warning("delivery.refused", reason=reason)
    sentence = "The run cannot be stored right now; send it again later."
    return {"error": sentence}, 503, {"Retry-After": str(RETRY_AFTER_S)}
