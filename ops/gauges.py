"""What the reconcilers' metrics say of the ledger and of Genesys as they are now."""

import time
from collections.abc import Mapping

from genesys.client import Client
from ledger import Ledger
from ledger.admin import RunStore
from ledger.errors import LedgerUnavailable
from tasks.reconcile import Reconciler


class Gauges:
    """Call it for the values; every reconciler gives the same but for its own last look."""

    def __init__(self, ledger: Ledger, client: Client, reconciler: Reconciler) -> None:
        self._archive = RunStore(ledger)
        self._client, self._reconciler = client, reconciler

    def __call__(self) -> Mapping[str, float]:
        """What is known; while Redis is away, that is only the last look."""
        values = {"last_look_seconds": time.monotonic() - self._reconciler.looked_at}
        standing = self._client.status()
        if standing is not None:
            values["circuit_open"] = float(standing.is_circuit_open)
        try:
            counted = self._archive.counts()
        except LedgerUnavailable:
            return values
        return {
            **values,
            "open_runs": counted.open_runs,
            "dead_letters": counted.dead_letters,
            "oldest_open_run_seconds": counted.oldest_open_ms / 1000,
        }
