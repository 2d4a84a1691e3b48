"""Query Postgres for one validated call; while the database is down, retry in place for 2 s."""

import time
from collections.abc import Mapping
from typing import Any

import backoff
from celery.exceptions import SoftTimeLimitExceeded

from db.catalog import Tool
from db.errors import ToolError, Unavailable
from db.faults import faults_as_answers
from db.pool import Databases

IN_PLACE_S = 2.0
"""Retries in place while the database is down; after this the slot is needed for other calls."""


def answer(
    databases: Databases,
    tool: Tool,
    values: Mapping[str, Any],
    left_ms: int,
    *,
    traceparent: str = "",
) -> str:
    """
    The tool output of one call.

    Args:
        left_ms: What remains of the run's time for answers; the tool's own timeout may be less,
            and covers all tries together.

        traceparent: Of this query, for the server's log.

    Raises:
        ToolError: The call ends in this error output.
        Unavailable: The database is down; return the call's lease while there is time.
    """
    budget_s = min(tool.timeout_ms, left_ms) / 1000
    began = time.monotonic()
    deadline = began + budget_s

    def attempt() -> str:
        timeout_ms = max(1, int((deadline - time.monotonic()) * 1000))
        with faults_as_answers(SoftTimeLimitExceeded):
            return databases.query(tool, values, timeout_ms=timeout_ms, traceparent=traceparent)

    try:
        try:
            return attempt()  # by itself: a function that backoff decorates costs 0.1 ms
        except Unavailable:
            left_s = min(budget_s, IN_PLACE_S) - (time.monotonic() - began)
            if left_s <= 0:
                raise
            # waits anywhere below 0.1, 0.2, 0.4 … 1 s, so that workers do not return together
            again = backoff.on_exception(
                backoff.expo, Unavailable, max_time=left_s, factor=0.1, max_value=1, logger=None
            )
            return again(attempt)()
    except SoftTimeLimitExceeded as exc:
        raise ToolError(
            "timeout", "The tool took too long. Try again with narrower arguments.", retryable=True
        ) from exc


_UNREACHED = "The data cannot be reached right now. Try the same call again later."
UNAVAILABLE = ToolError("unavailable", _UNREACHED, retryable=True)
"""Error output of a call whose database was down for all the time that the run had."""
