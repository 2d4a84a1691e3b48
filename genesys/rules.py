"""Rules: what follows from each HTTP status of Genesys, the table of docs/genesys.md as data."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genesys.answer import Answer
from genesys.errors import GenesysUnavailable, Rejected

LONGEST_DELAY_S = 10.0
"""Between two attempts of one run; a caller waits for its answer."""


@dataclass(frozen=True)
class Rule:
    """
    What follows from one kind of answer.

    Args:
        is_retried: Another attempt with the same bytes follows; else the run is a dead letter.

        outcome: For rate limiter and circuit breaker: "success" means that Genesys is up, whatever
            it answered; "failure" counts towards an open circuit; "throttled" holds all POSTs.

        most_attempts: After so many the run is a dead letter; None means until it expires.

        is_explained_by_arrival: The answer to a repeat of an attempt that did arrive.

        advice: What the operator can fix.
    """

    is_retried: bool
    outcome: Literal["success", "failure", "throttled"] = "success"
    most_attempts: int | None = None
    is_explained_by_arrival: bool = False
    advice: str = ""


_LATER = Rule(is_retried=True)
_DOWN = Rule(is_retried=True, outcome="failure")

NO_ANSWER = _DOWN
"""No connection, a time-out, a connection lost after sending."""

# Genesys' own SDKs retry 429, 502, 503 and 504.
RULES: Mapping[int, Rule] = {
    400: Rule(
        is_retried=False,
        advice="Genesys did not understand the request. "
        "Verify GENESYS_SUBMIT_PATH and GENESYS_LIST_KEY.",
    ),
    401: Rule(
        is_retried=False,
        advice="OAuth authentication failed. Verify client_id and client_secret.",
    ),
    403: Rule(
        is_retried=False,
        advice="OAuth scope mismatch, or the run belongs to another organization. "
        "Ensure the application has the scope GENESYS_SCOPE names.",
    ),
    404: Rule(
        is_retried=False,
        is_explained_by_arrival=True,
        advice="Genesys has no such run: it ended, or GENESYS_SUBMIT_PATH or the region is wrong.",
    ),
    408: _LATER,
    409: Rule(
        is_retried=False,
        is_explained_by_arrival=True,
        advice="The run does not wait for these outputs: it ended, or was answered before.",
    ),
    413: Rule(
        is_retried=False,
        advice="The outputs are too large together. Lower max_rows or max_bytes of the tools.",
    ),
    415: Rule(
        is_retried=False,
        advice="Genesys does not take JSON at this path. Verify GENESYS_SUBMIT_PATH.",
    ),
    422: Rule(
        is_retried=False,
        is_explained_by_arrival=True,
        advice="Genesys does not take these outputs: each must be an object with tool_call_id and "
        "a string output, and each tool_call_id one of the run.",
    ),
    425: _LATER,
    429: Rule(is_retried=True, outcome="throttled"),
    # a fault of Genesys, or of how it handles this one body: then it is the same every time
    500: Rule(
        is_retried=True,
        outcome="failure",
        most_attempts=10,
        advice="Genesys fails on this submission again and again. "
        "Give its support the correlation id; replay the run when it is fixed.",
    ),
    502: _DOWN,
    503: _DOWN,
    504: _DOWN,
}

_REDIRECTED = Rule(
    is_retried=False,
    advice="Genesys answered with a redirect, which is not followed. Verify GENESYS_BASE_URL.",
)
_BY_CODE = {
    "ip.not.authorized": Rule(
        is_retried=False,
        advice="Genesys does not take requests from this network. "
        "Add its address to the organization's allowed ones.",
    ),
}


def rule_for(status: int, code: str | None = None) -> Rule:
    """
    The rule for an answer that is no 2xx.

    Args:
        code: Genesys' own error code, which may be more precise than the status.
    """
    if status not in (408, 429) and status < 500 and code in _BY_CODE:
        return _BY_CODE[code]
    if 300 <= status < 400:
        return _REDIRECTED
    if status > 504:
        return _DOWN
    return RULES.get(status, Rule(is_retried=False, advice=f"Genesys answered {status}."))


def error_for(answer: Answer) -> GenesysUnavailable | Rejected:
    """The error for an answer that is no 2xx; its class and advice are the rule's."""
    rule = rule_for(answer.status, answer.code)
    quoted = f" Genesys said: {answer.message}" if answer.message else ""
    if rule.is_retried:
        return GenesysUnavailable(
            f"Genesys answered {answer.status}.{quoted}",
            status=answer.status,
            code=answer.code,
            correlation_id=answer.correlation_id,
            retry_after_s=answer.retry_after_s,
            most_attempts=rule.most_attempts,
        )
    return Rejected(
        rule.advice + quoted,
        status=answer.status,
        code=answer.code,
        correlation_id=answer.correlation_id,
    )


def retry_delay_s(retries: int, base_s: float) -> float:
    """
    Seconds before an attempt: *base_s* doubled *retries* times, with jitter over the upper half.
    """
    # a float ends at 1024 doublings, and the longest delay comes long before
    full_s = min(base_s * 2.0 ** min(retries, 10), max(LONGEST_DELAY_S, base_s))
    return random.uniform(full_s / 2, full_s)  # noqa: S311  (not for secrets)
