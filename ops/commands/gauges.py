"""Gauges of the reconcilers: ledger, broker, Genesys and certificate when Prometheus reads them."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

import ledger
from genesys.client import Client
from ledger.admin import RunStore
from ledger.errors import LedgerUnavailable
from ops.certificate import NoCertificate, ends_in_s
from runtime.metrics import Gauges
from runtime.redis_health import connect_to_read, free_disk_ratio, read_health
from runtime.settings import Settings
from tasks.reconcile import Reconciler

READ_S = 3.0
"""A page waits this long for its gauges, and comes without those that are not read by then."""
_TIMEOUT_S = 1.0
_CERTIFICATE_S = 20.0
"""Between two reads of the certificate, two handshakes each; its alert comes within 90 s."""


class FleetGauges:
    """
    Callable that reads the gauges; every reconciler's are the same but for its own last look.

    Each source is read in a thread of its own: what hangs (a name that is not resolved, a stalled
    server) delays no page, and is read again only when it has returned.
    """

    def __init__(self, values: Settings, client: Client, reconciler: Reconciler) -> None:
        self._client, self._reconciler = client, reconciler
        # neither the reconciler's patience nor its connections
        self._runs = RunStore(ledger.from_settings(values, timeout_s=_TIMEOUT_S, retries=0))
        self._redis = {
            server: connect_to_read(url, values.redis_tls(url), timeout_s=_TIMEOUT_S)
            for server, url in (("ledger", values.ledger()), ("broker", values.broker()))
        }
        disks = {"ledger": values.ledger_disk, "broker": values.broker_disk}
        self._disks = {server: path for server, path in disks.items() if path is not None}
        self._endpoint = values.tls_endpoint
        self._certificate_ends_at: float | None = None
        self._certificate_read_at = float("-inf")
        sources: list[Callable[[], Gauges]] = [
            self._genesys,
            self._counts,
            self._disk_space,
            self._certificate,
            *(self._health_of(server) for server in self._redis),
        ]
        self._threads = ThreadPoolExecutor(len(sources), thread_name_prefix="gauges")
        self._reads: dict[Callable[[], Gauges], Future[Gauges]] = {}
        self._sources = sources

    def __call__(self) -> Gauges:
        """All that could be read within `READ_S`; a Redis that could not be is down."""
        for source in self._sources:
            if source not in self._reads:
                self._reads[source] = self._threads.submit(source)
        wait(self._reads.values(), timeout=READ_S)
        values: dict[str, float | dict[tuple[str, ...], float]] = {
            "last_look_seconds": time.monotonic() - self._reconciler.looked_at,
            "redis_up": {(server,): 0.0 for server in self._redis},
        }
        for source, read in list(self._reads.items()):
            if not read.done():
                continue
            del self._reads[source]
            for name, value in read.result().items():
                if isinstance(value, Mapping):
                    family = values.setdefault(name, {})
                    assert isinstance(family, dict)  # noqa: S101  (a gauge has labels or has none)
                    family.update(value)
                else:
                    values[name] = value
        return values

    def _genesys(self) -> Gauges:
        status = self._client.status()
        if status is None:
            return {}
        found = {"circuit_open": float(status.is_circuit_open)}
        if status.remaining is not None:
            found["genesys_rate_limit_remaining"] = status.remaining
        return found

    def _counts(self) -> Gauges:
        try:
            counted = self._runs.counts()
        except LedgerUnavailable:
            return {}
        return {
            "open_runs": counted.open_runs,
            "dead_letters": counted.dead_letters,
            "oldest_open_run_seconds": counted.oldest_open_ms / 1000,
            "oldest_waiting_run_seconds": counted.oldest_waiting_ms / 1000,
        }

    def _health_of(self, server: str) -> Callable[[], Gauges]:
        def read() -> Gauges:
            health = read_health(self._redis[server])
            if health is None:
                return {}
            found: dict[str, Mapping[tuple[str, ...], float]] = {
                "redis_up": {(server,): 1.0},
                "redis_disk_ok": {(server,): float(health.disk_fault is None)},
            }
            if health.memory_ratio is not None:
                found["redis_memory_ratio"] = {(server,): health.memory_ratio}
            return found

        return read

    def _disk_space(self) -> Gauges:
        found = {server: free_disk_ratio(path) for server, path in self._disks.items()}
        known: dict[tuple[str, ...], float] = {
            (server,): ratio for server, ratio in found.items() if ratio is not None
        }
        return {"redis_disk_free_ratio": known}

    def _certificate(self) -> Gauges:
        if self._endpoint is None:
            return {}
        if time.monotonic() - self._certificate_read_at >= _CERTIFICATE_S:
            try:
                left_s = ends_in_s(self._endpoint, timeout_s=_TIMEOUT_S)
                self._certificate_ends_at = time.time() + left_s
            except NoCertificate:
                self._certificate_ends_at = None
            self._certificate_read_at = time.monotonic()
        if self._certificate_ends_at is None:
            return {}
        return {"certificate_ends_seconds": self._certificate_ends_at - time.time()}
