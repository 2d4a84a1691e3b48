"""Alerts in the ledger: the causes that were reported, and an outbox of events not yet sent."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.ledger import Ledger
from ledger.scripts import ALERTS, ALERTS_OUTBOX, DUE, to_text

LEASE_MS = 20_000
"""Lease of the one reconciler that looks and sends; after its death another takes over."""
CONFIRM_MS = 4_000
"""A cause is reported when it holds in two looks: a worker that is restarted raises none."""
QUIET_MS = 15_000
"""A cause has ended when it was not seen for this long: a flapping one is reported once."""
MOST_EVENTS = 1_000
"""Kept for a receiver that is down; there are about ten causes, and the oldest events go first."""


class Event(NamedTuple):
    """One event of the outbox: `kind` is "raised" or "ended", `raw` how the ledger keeps it."""

    kind: str
    at_ms: int
    cause: Mapping[str, Any]
    raw: str


class AlertStore:
    """
    The alerts of one ledger, for any number of reconcilers.

    Raises:
        LedgerUnavailable: From every method, when Redis does not answer in time.
    """

    def __init__(self, ledger: Ledger, owner: str) -> None:
        self._ledger, self._owner = ledger, owner

    def lease(self) -> bool:
        """Take or keep the right to look for causes and to send; False while another has it."""
        return self._note("0")

    def note(self, causes: Mapping[str, Mapping[str, Any]]) -> bool:
        """
        Note which causes hold now, by id; an event is queued for each that is new or has ended.

        Returns:
            False when another reconciler has the lease by now; nothing was noted.
        """
        return self._note("1", *(word for i, c in causes.items() for word in (i, json.dumps(c))))

    def waiting(self, most: int) -> list[Event]:
        """The oldest events that were not sent."""
        client = self._ledger.client
        found = self._ledger.call(lambda: client.lrange(ALERTS_OUTBOX, 0, most - 1))
        return [_event(to_text(raw)) for raw in found]

    def sent(self, event: Event) -> None:
        """Forget an event. Calling twice is safe."""
        self._ledger.call(lambda: self._ledger.client.lrem(ALERTS_OUTBOX, 1, event.raw))

    def _note(self, *words: str) -> bool:
        bounds = [self._owner, LEASE_MS, CONFIRM_MS, QUIET_MS, MOST_EVENTS]
        return bool(
            self._ledger.step("alerts_note", [DUE, ALERTS, ALERTS_OUTBOX], [*bounds, *words])
        )


def _event(raw: str) -> Event:
    kind, at_ms, cause = raw.split(" ", 2)
    return Event(kind, int(at_ms), json.loads(cause), raw)
