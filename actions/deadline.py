"""Deadline of a data action: Genesys' timeout, less the time that the request has waited."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from actions.errors import BadDeadline
from db import transaction

TIMEOUT_HEADER = "X-Action-Timeout"
"""The action's `timeoutSeconds`, which Genesys does not send by itself; exports write it."""
DEFAULT_TIMEOUT_S = 10.0
"""A caller waits on the line. Genesys' own default is 60 s."""
MIN_TIMEOUT_S, MAX_TIMEOUT_S = 1.0, 60.0
"""What Genesys takes."""
ANSWER_MARGIN_S = 1.0
"""Kept free before the action's timeout, in which the response travels back."""
HANG_MARGIN_S = 1.25
"""Beyond a statement's timeout, at which db.pool closes a hanging connection after 1 s."""
SHORT_S = 3.0
"""Below it the margins shrink in proportion: a quarter of the timeout is left for queries."""

_START = re.compile(r"t=(\d{1,12}\.\d{1,6})")


class Deadline(NamedTuple):
    """Seconds for the queries of a request, and then until a hanging connection is closed."""

    seconds_left: float
    hang_margin_s: float


def deadline(headers: Mapping[str, str], now: float) -> Deadline:
    """
    How long queries of this request may take, from now on.

    Args:
        headers: `X-Action-Timeout`, and `X-Request-Start: t=<epoch seconds>` of the proxy in front:
            what a request waited for a process counts. Names in lower case.

        now: Seconds since the epoch.

    Raises:
        BadDeadline: The timeout is no number from 1 to 60.
    """
    timeout_s = _timeout(headers.get(TIMEOUT_HEADER.lower()))
    waited_s = _waited(headers.get("x-request-start"), now)
    share = min(1.0, timeout_s / SHORT_S)
    left_s = timeout_s - waited_s - (ANSWER_MARGIN_S + HANG_MARGIN_S) * share
    return Deadline(left_s, transaction.HANG_MARGIN_S * share)


def _timeout(text: str | None) -> float:
    if text is None:
        return DEFAULT_TIMEOUT_S
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = math.nan
    if not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
        raise BadDeadline(f"{TIMEOUT_HEADER} must be a number of seconds from 1 to 60.")
    return timeout_s


def _waited(text: str | None, now: float) -> float:
    match = _START.fullmatch(text or "")
    waited_s = now - float(match[1]) if match else 0.0
    # another machine's clock may be wrong, by more than anything waits
    return waited_s if 0 <= waited_s <= MAX_TIMEOUT_S else 0.0
