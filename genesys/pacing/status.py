"""State of rate limit, circuit breaker and token, for dashboards. Read-only."""

import json
from dataclasses import dataclass

from genesys.store import Store, WriteRefused


@dataclass(frozen=True)
class GenesysStatus:
    """
    What keeps submissions from going out.

    `why` is "", "circuit" (Genesys is down), "throttled" (it answered 429) or "rate" (our own
    limit is used up), for `wait_s` more seconds; `sent` counts the POSTs of the last minute,
    `failures` those that failed in a row. `token_error` is why there is no token, or "", and none
    is requested during `token_wait_s`. `remaining` is the last `X-RateLimit-Remaining`, if one came
    within the last minute.
    """

    why: str
    wait_s: float
    failures: int
    sent: int
    is_circuit_open: bool
    token_error: str = ""
    token_wait_s: float = 0.0
    remaining: int | None = None


def read_status(store: Store, *, requests_per_minute: int, window_ms: int) -> GenesysStatus | None:
    """The status of one organisation's client; None when Redis does not answer."""
    keys = ("gate:window", "gate", "token:pause")
    try:
        found = store.run("status", keys, limit=requests_per_minute, window_ms=window_ms)
    except WriteRefused:
        return None
    if found is None:
        return None
    why, wait_ms, failures, sent, is_open, paused, paused_ms, remaining = found
    token_error = json.loads(paused)["error"]["message"] if paused else ""
    return GenesysStatus(
        why,
        wait_ms / 1000,
        failures,
        sent,
        bool(is_open),
        token_error,
        paused_ms / 1000,
        remaining if remaining >= 0 else None,
    )
