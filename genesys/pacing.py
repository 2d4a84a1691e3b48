"""How fast the fleet may POST: the rate, the gate that a 429 closes, and the circuit."""

from dataclasses import dataclass

from genesys import standing
from genesys.store import Store
from runtime import logs

WINDOW_S = 61.0
"""Genesys counts a minute; one second more, because a POST may be longer under way than one that
follows it."""
PLAIN = 5
"""Failures in a row, of the whole fleet, after which Genesys is plainly down."""
OPEN_S, LONGEST_OPEN_S = 1.0, 5.0
"""An open circuit lets a probe through after this; doubled with each that fails."""
PROBE_S = 12.0
"""A probe that was never heard of again is replaced after this: a POST has 10 s in all."""
NO_RETRY_AFTER_S = 3.0
"""A 429 that names no time; what Genesys' own Java SDK waits."""
SHORTEST_CLOSED_S = 1.0
"""A 429 closes the gate for at least this: a Retry-After of 0, or a date that is past by our clock,
would let the whole fleet go on."""
LONGEST_CLOSED_S = 600.0
"""No Retry-After closes the gate for longer: by then every run that waited has expired, and one
POST finds out what it is like now."""

_KEEP_S = LONGEST_CLOSED_S + 2 * WINDOW_S
_log = logs.get("genesys")


@dataclass(frozen=True)
class Turn:
    """
    Whether one POST may go: now if `wait_s` is 0, else it is worth asking again after that.

    `why` is "rate", "throttled" or "circuit" when it may not; `is_watched` says that it matters
    how the POST ends, even if it ends well.
    """

    wait_s: float
    why: str = ""
    is_watched: bool = False


class Gate:
    """
    One for all workers, in Redis; while Redis is away it is open.

    Args:
        requests_per_minute: Of the whole fleet. All of them may go at once.
    """

    def __init__(
        self, store: Store, *, requests_per_minute: int, window_s: float = WINDOW_S
    ) -> None:
        self._store = store
        self._limits = [requests_per_minute, _ms(window_s), _ms(PROBE_S)]
        self._slow_ms = _ms(window_s)

    def ask(self) -> Turn:
        """Take the right to send one POST; who got it says how the POST ended, or gives it back."""
        found = self._store.run("gate_ask", _KEYS, [1, *self._limits, "take"])
        if found is None:
            return Turn(0.0)
        return Turn(found[0] / 1000, str(found[3]), is_watched=bool(found[2]))

    def give_back(self) -> None:
        """Do without a right that was taken; nothing was sent."""
        self._store.run("gate_give_back", _KEYS, [])

    def room(self, most: int) -> tuple[int, float]:
        """
        How many of *most* POSTs could go now, and if none, after how many seconds one may.

        Nothing is taken; the next may hear otherwise.
        """
        if most <= 0:
            return 0, 0.0
        found = self._store.run("gate_ask", _KEYS, [most, *self._limits, "look"])
        return (most, 0.0) if found is None else (int(found[1]), found[0] / 1000)

    def standing(self) -> standing.Standing | None:
        """What keeps POSTs from going out, for people; None when Redis does not answer."""
        limit, window_ms, _ = self._limits
        return standing.read(self._store, requests_per_minute=limit, window_ms=window_ms)

    def is_there(self) -> None:
        """Genesys itself answered, whatever it said: an open circuit closes."""
        self._tell(["there", _ms(_KEEP_S)])

    def is_down(self) -> None:
        """A POST ended in a 5xx, in no answer, or in none in time."""
        bounds = [PLAIN, _ms(OPEN_S), _ms(LONGEST_OPEN_S)]
        self._tell(["down", _ms(_KEEP_S), *bounds])

    def is_throttled(self, retry_after_s: float | None) -> None:
        """Close the gate for everyone after a 429; for a minute after that POSTs go one by one."""
        wait_s = NO_RETRY_AFTER_S if retry_after_s is None else retry_after_s
        wait_s = min(max(wait_s, SHORTEST_CLOSED_S), LONGEST_CLOSED_S)
        _log.warning("genesys.throttled", closed_s=round(wait_s, 1))
        self._tell(["throttled", _ms(_KEEP_S), _ms(wait_s), self._slow_ms])

    def _tell(self, arguments: list[object]) -> None:
        change = self._store.run("gate_report", _KEYS[1:], arguments)
        if change in ("open", "closed"):
            _log.warning(f"genesys.circuit_{change}")


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


_KEYS = ("gate:window", "gate")
