"""The fleet's rate limiter and circuit breaker, in Redis."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from genesys.pacing.status import GenesysStatus, read_status
from genesys.route import fleet_names
from genesys.store import Store, WriteRefused
from runtime import logs
from runtime.settings import Settings

WINDOW_S = 61.0
"""Genesys counts a minute; one second more, because a POST may arrive after one that was sent
later."""
FAILURES_TO_OPEN = 5
"""Failures in a row, of the whole fleet, that open the circuit."""
OPEN_S, LONGEST_OPEN_S = 1.0, 5.0
"""An open circuit lets one probe through after this; doubled with each probe that fails."""
PROBE_S = 12.0
"""A probe without an outcome is replaced after this: a POST has 10 s in all."""
NO_RETRY_AFTER_S = 3.0
"""The wait after a 429 without Retry-After; Genesys' own Java SDK waits as long."""
SHORTEST_CLOSED_S = 1.0
"""The shortest wait after a 429: with a Retry-After of 0, or a date that is past by our clock, the
whole fleet would go on."""
LONGEST_CLOSED_S = 600.0
"""The longest wait after a 429: by then every run that waited has expired, and one POST finds out
whether Genesys still throttles."""

UNKEPT_S = 1.0
"""While Redis refuses to keep the limit no POST may go; the next attempt is after this."""

_KEEP_S = LONGEST_CLOSED_S + 2 * WINDOW_S
_log = logs.get("genesys")


@dataclass(frozen=True)
class Slot:
    """
    A place for one POST: it may go now if `wait_s` is 0, else try again after that.

    `why` is "rate", "throttled", "circuit" or "unkept" (Redis refuses) when it may not;
    `is_watched` means that the POST's outcome must be recorded, even if it is a success.
    """

    wait_s: float
    why: str = ""
    is_watched: bool = False


class RateLimiter:
    """
    One rate limiter and circuit breaker for all workers; any thread may use it.

    While Redis cannot be reached every POST may go, but for this process' own 429s. While it can
    be reached and refuses to write (a replica, no permission) none may. A full Redis keeps the
    limit: its scripts may exceed `maxmemory`.

    Args:
        requests_per_minute: Of the whole fleet. All of them may go at once.

        window_s: The minute, in seconds; tests shorten it.
    """

    def __init__(
        self, store: Store, *, requests_per_minute: int, window_s: float = WINDOW_S
    ) -> None:
        self.store = store
        self._limits = {"limit": requests_per_minute, "window_ms": _ms(window_s)}
        self._closed_until = float("-inf")  # by this process' clock and its own 429s

    def acquire(self) -> Slot:
        """Take a place for one POST; then record the POST's outcome, or give the place back."""
        found = self._acquire(1, takes=True)
        return Slot(found[0] / 1000, str(found[3]), is_watched=bool(found[2]))

    def give_back(self) -> None:
        """Return a place that was taken; nothing was sent."""
        with suppress(WriteRefused):
            self.store.run("give_back", _KEYS)

    def available(self, most: int) -> tuple[int, float]:
        """
        How many of *most* POSTs could go now, and if none, after how many seconds one may.

        Takes no place, so that `acquire` may find fewer.
        """
        if most <= 0:
            return 0, 0.0
        found = self._acquire(most, takes=False)
        return int(found[1]), found[0] / 1000

    def status(self) -> GenesysStatus | None:
        """State of limit, breaker and token, for dashboards; None when Redis does not answer."""
        return read_status(
            self.store,
            requests_per_minute=self._limits["limit"],
            window_ms=self._limits["window_ms"],
        )

    def record_success(self) -> None:
        """Record any answer but a 429 or 5xx: an open circuit closes."""
        self._record("success")

    def record_failure(self) -> None:
        """Record a 5xx, a lost connection or a time-out."""
        self._record(
            "failure",
            threshold=FAILURES_TO_OPEN,
            open_ms=_ms(OPEN_S),
            longest_open_ms=_ms(LONGEST_OPEN_S),
        )

    def record_throttled(self, retry_after_s: float | None) -> None:
        """Hold all POSTs after a 429; for a minute after that they go one by one."""
        wait_s = NO_RETRY_AFTER_S if retry_after_s is None else retry_after_s
        wait_s = min(max(wait_s, SHORTEST_CLOSED_S), LONGEST_CLOSED_S)
        _log.warning("genesys.throttled", closed_s=round(wait_s, 1))
        self._closed_until = max(self._closed_until, time.monotonic() + wait_s)
        self._record("throttled", closed_ms=_ms(wait_s), slow_ms=self._limits["window_ms"])

    def record_remaining(self, remaining: int) -> None:
        """Record what Genesys said is left of its limit, for dashboards."""
        with suppress(WriteRefused):
            self.store.run("remaining", _KEYS[1:], remaining=remaining, keep_ms=_ms(_KEEP_S))

    def _acquire(self, most: int, *, takes: bool) -> Sequence[Any]:
        """Reply of acquire.lua, or one in its form when Redis cannot be reached or refuses."""
        limits = {**self._limits, "probe_ms": _ms(PROBE_S)}
        try:
            found = self.store.run("acquire", _KEYS, most=most, takes=takes, **limits)
        except WriteRefused:
            return _ms(UNKEPT_S), 0, 0, "unkept"
        if found is not None:
            return tuple(found)
        left_ms = _ms(self._closed_until - time.monotonic())
        return (left_ms, 0, 0, "throttled") if left_ms > 0 else (0, most, 0, "")

    def _record(self, outcome: str, **arguments: int) -> None:
        try:
            change = self.store.run(
                "record", _KEYS[1:], outcome=outcome, keep_ms=_ms(_KEEP_S), **arguments
            )
        except WriteRefused:  # then no POST may go, either
            return
        if change in ("open", "closed"):
            _log.warning(f"genesys.circuit_{change}")


def from_settings(settings: Settings) -> RateLimiter | None:
    """
    The fleet's rate limiter, None without REDIS_URL; the client secret is not needed.

    Raises:
        SettingsError: All that is missing or wrong, one a line.
    """
    names = fleet_names(settings)
    if not (url := settings.broker()):
        return None
    store = Store(url, names, tls=settings.redis_tls(url))
    return RateLimiter(store, requests_per_minute=settings.genesys_requests_per_minute)


def _ms(seconds: float) -> int:
    return int(max(seconds, 0) * 1000)


_KEYS = ("gate:window", "gate")
