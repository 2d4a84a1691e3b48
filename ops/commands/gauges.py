"""Gauges of the reconcilers: the ledger's and Genesys' state when Prometheus reads them."""

import time
from collections.abc import Mapping

from genesys.client import Client
from ledger import Ledger
from ledger.admin import RunStore
from ledger.errors import LedgerUnavailable
from tasks.reconcile import Reconciler


class Gauges:
    """Callable that reads the gauges; every reconciler's are the same but for its own last look."""

    def __init__(self, ledger: Ledger, client: Client, reconciler: Reconciler) -> None:
        self._archive = RunStore(ledger)
        self._client, self._reconciler = client, reconciler

    def __call__(self) -> Mapping[str, float]:
        """Name to value; only the last look while the ledger is unavailable."""
        values = {"last_look_seconds": time.monotonic() - self._reconciler.looked_at}
        status = self._client.status()
        if status is not None:
            values["circuit_open"] = float(status.is_circuit_open)
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
