"""How Genesys stands with the fleet, for people and dashboards; nothing is asked of it."""

import json
from dataclasses import dataclass

from genesys.store import Store, WriteRefused


@dataclass(frozen=True)
class Standing:
    """
    What keeps submissions from going out.

    `why` is "", "circuit" (Genesys is down), "throttled" (it answered 429) or "rate" (our own
    limit is used up), for `wait_s` more seconds; `sent` counts the POSTs of the last minute,
    `failures` those that failed in a row. `token_error` says why there is no token, and none is
    asked for during `token_wait_s`.
    """

    why: str
    wait_s: float
    failures: int
    sent: int
    is_circuit_open: bool
    token_error: str = ""
    token_wait_s: float = 0.0


def read(store: Store, *, requests_per_minute: int, window_ms: int) -> Standing | None:
    """The standing of one organisation's client; None when Redis does not answer."""
    keys = ("gate:window", "gate", "token:pause")
    try:
        found = store.run("status", keys, limit=requests_per_minute, window_ms=window_ms)
    except WriteRefused:
        return None
    if found is None:
        return None
    why, wait_ms, failures, sent, is_open, paused, paused_ms = found
    token_error = json.loads(paused)["error"]["message"] if paused else ""
    return Standing(
        why, wait_ms / 1000, failures, sent, bool(is_open), token_error, paused_ms / 1000
    )
