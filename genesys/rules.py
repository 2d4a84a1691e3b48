"""What each answer of Genesys means, as data: the table of docs/genesys.md, row for row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rule:
    """
    What follows from one kind of answer.

    Args:
        is_passing: Worth another attempt with the same bytes; else the run ends as dead letter.

        tells: Of Genesys as a whole: it is there, it is down (opens the circuit), or it throttles
            (closes the gate).

        most_attempts: After so many it is for good; None means until the run expires.

        is_explained_by_arrival: An earlier attempt that did arrive would be answered like this.

        advice: What the operator can mend.
    """

    is_passing: bool
    tells: Literal["there", "down", "throttled"] = "there"
    most_attempts: int | None = None
    is_explained_by_arrival: bool = False
    advice: str = ""


_LATER = Rule(is_passing=True)
_DOWN = Rule(is_passing=True, tells="down")

NO_ANSWER = _DOWN
"""No connection, a time-out, a connection lost after sending."""

# Genesys' own SDKs retry 429, 502, 503 and 504.
RULES: Mapping[int, Rule] = {
    400: Rule(
        is_passing=False,
        advice="Genesys did not understand the request. "
        "Verify GENESYS_SUBMIT_PATH and GENESYS_LIST_KEY.",
    ),
    401: Rule(
        is_passing=False,
        advice="OAuth authentication failed. Verify client_id and client_secret.",
    ),
    403: Rule(
        is_passing=False,
        advice="OAuth scope mismatch, or the run belongs to another organization. "
        "Ensure the application has the scope GENESYS_SCOPE names.",
    ),
    404: Rule(
        is_passing=False,
        is_explained_by_arrival=True,
        advice="Genesys knows no such run: it ended, or GENESYS_SUBMIT_PATH or the region is "
        "wrong.",
    ),
    408: _LATER,
    409: Rule(
        is_passing=False,
        is_explained_by_arrival=True,
        advice="The run does not wait for these outputs: it ended, or was answered before.",
    ),
    413: Rule(
        is_passing=False,
        advice="The outputs are too large together. Lower max_rows or max_bytes of the tools.",
    ),
    415: Rule(
        is_passing=False,
        advice="Genesys does not take JSON at this path. Verify GENESYS_SUBMIT_PATH.",
    ),
    422: Rule(
        is_passing=False,
        is_explained_by_arrival=True,
        advice="Genesys does not take these outputs: each must be an object with tool_call_id and "
        "a string output, and each tool_call_id one that the run asked for.",
    ),
    425: _LATER,
    429: Rule(is_passing=True, tells="throttled"),
    # a fault of Genesys, or of what it makes of this one body: that is the same every time
    500: Rule(
        is_passing=True,
        tells="down",
        most_attempts=10,
        advice="Genesys fails on this submission again and again. "
        "Give its support the correlation id; replay the run when they have mended it.",
    ),
    502: _DOWN,
    503: _DOWN,
    504: _DOWN,
}

_REDIRECTED = Rule(
    is_passing=False,
    advice="Genesys answered with a redirect, which is not followed. Verify GENESYS_BASE_URL.",
)
_BY_CODE = {
    "ip.not.authorized": Rule(
        is_passing=False,
        advice="Genesys does not take requests from this network. "
        "Add its address to the organization's allowed ones.",
    ),
}


def rule_for(status: int, code: str | None = None) -> Rule:
    """
    The rule for an answer that is no 2xx.

    Args:
        code: Genesys' own error code, which may say more than the status.
    """
    if status not in (408, 429) and status < 500 and code in _BY_CODE:
        return _BY_CODE[code]
    if 300 <= status < 400:
        return _REDIRECTED
    if status > 504:
        return _DOWN
    return RULES.get(status, Rule(is_passing=False, advice=f"Genesys answered {status}."))
