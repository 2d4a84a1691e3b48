"""Deadline of a data action: Genesys' timeout, less the time already spent."""

import math
import re
from collections.abc import Mapping

from actions.errors import BadDeadline

TIMEOUT_HEADER = "X-Action-Timeout"
"""The action's `timeoutSeconds`, which Genesys does not send by itself; exports write it."""
DEFAULT_TIMEOUT_S = 10.0
"""A caller waits on the line. Genesys' own default is 60 s."""
MIN_TIMEOUT_S, MAX_TIMEOUT_S = 3.0, 60.0
"""Genesys takes 1 to 60; below 3 s nothing would be left for the query."""
ANSWER_MARGIN_S = 1.0
"""Before the action's timeout, for the answer's way back."""
HANG_MARGIN_S = 1.25
"""After a statement's own timeout: of a server that hangs db.pool closes the socket, 1 s later."""

_START = re.compile(r"t=(\d{1,12}\.\d{1,6})")


def seconds_left(headers: Mapping[str, str], now: float) -> float:
    """
    Seconds that queries of this request may take, from now on.

    Args:
        headers: `X-Action-Timeout`, and `X-Request-Start: t=<epoch seconds>` of the proxy in front:
            what a request waited for a process counts. Names in lower case.

        now: Seconds since the epoch.

    Raises:
        BadDeadline: The timeout is no number from 3 to 60.
    """
    timeout_s = _timeout(headers.get(TIMEOUT_HEADER.lower()))
    waited_s = _waited(headers.get("x-request-start"), now)
    return timeout_s - waited_s - ANSWER_MARGIN_S - HANG_MARGIN_S


def _timeout(text: str | None) -> float:
    if text is None:
        return DEFAULT_TIMEOUT_S
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = math.nan
    if not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
        raise BadDeadline(f"{TIMEOUT_HEADER} must be a number of seconds from 3 to 60.")
    return timeout_s


def _waited(text: str | None, now: float) -> float:
    match = _START.fullmatch(text or "")
    waited_s = now - float(match[1]) if match else 0.0
    # another machine's clock may be wrong, by more than anything waits
    return waited_s if 0 <= waited_s <= MAX_TIMEOUT_S else 0.0
