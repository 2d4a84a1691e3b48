"""Prometheus metrics, summed over the processes of a component by prometheus_client."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import logs
from runtime.settings import Settings, SettingsError

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "deliveries": ("Answers to deliveries.", ("answer",)),
    "actions": ("Answers to data actions.", ("status",)),
    "runs": ("Runs that ended.", ("state",)),
    "submissions": ("POSTs to Genesys; status is none when no answer came.", ("status",)),
    "token_refreshes": ("Requests for a token.", ("outcome",)),
    "calls_unanswered": ("Tool calls without an output when the answer went out.", ()),
    "tool_failures": ("Tool calls that ended in a fault of the tool or its database.", ("tool",)),
}
"""Name without `toolworker_` and `_total`: help and labels."""

BORN: Mapping[str, Sequence[str]] = {
    "deliveries": ("202", "duplicate", "401", "503"),
    "runs": ("submitted", "dead"),
    "submissions": ("200", "429", "none"),
    "token_refreshes": ("granted", "rejected", "unavailable"),
}
"""Values of a counter's label that every process shows as 0 from its start: of a series that begins
at 1 Prometheus sees no increase, and the first dead letter of a process would raise no alert."""

TOOL_FAULTS = frozenset({"timeout", "unavailable", "query_failed", "internal_error"})
"""Codes of error outputs that are no fault of the model's arguments."""

_CALL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RUN_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 300, 600)
TIMINGS: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "tool_call_seconds": ("From start to output.", ("tool", "code"), _CALL_S),
    "run_seconds": ("From acceptance to the 2xx of the submission.", (), _RUN_S),
    "queue_wait_seconds": ("From acceptance until a worker begins a run.", (), _RUN_S),
}
"""Name without `toolworker_`: help, labels, and upper bounds in seconds."""

GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "oldest_open_run_seconds": ("Age of the oldest run that has not ended.", ()),
    "oldest_waiting_run_seconds": ("Age of the oldest run that no worker has begun.", ()),
    "open_runs": ("Runs that have not ended.", ()),
    "dead_letters": ("Dead letters that can be replayed.", ()),
    "circuit_open": ("1 while Genesys counts as down.", ()),
    "genesys_rate_limit_remaining": ("X-RateLimit-Remaining of the last minute, if sent.", ()),
    "last_look_seconds": ("Since this reconciler last read what is due.", ()),
    "redis_up": ("1 while this Redis answers.", ("server",)),
    "redis_memory_ratio": ("Used memory by maxmemory; at 1 writes are refused.", ("server",)),
    "redis_disk_ok": ("0 when its last write to its disk failed.", ("server",)),
    "redis_disk_free_ratio": ("Free space of the disk under it.", ("server",)),
    "certificate_ends_seconds": ("Until the proxy's certificate ends; below 0 it has.", ()),
    "catalog": ("1, with the digest of the tool catalogue that this process serves.", ("digest",)),
}
"""Name without `toolworker_`: help and labels. Read when Prometheus reads the page: the catalogue's
by a worker, all others by a reconciler."""

Gauges = Mapping[str, float | Mapping[tuple[str, ...], float]]
"""Name of a gauge to its value, or to its values by those of its labels."""

_log = logs.get("metrics")
_metrics: dict[str, Any] = {}


def count(name: str, amount: int = 1, **labels: str) -> None:
    """Add to a counter; 0 makes it visible. Nothing happens in a process without metrics."""
    metric = _metrics.get(name)
    if metric is not None:
        (metric.labels(**labels) if labels else metric).inc(amount)


def observe_call(seconds: float, *, tool: str, code: str) -> None:
    """Observe one tool call that ended with *code*, and count it if the tool failed."""
    observe("tool_call_seconds", seconds, tool=tool, code=code)
    if code in TOOL_FAULTS:
        count("tool_failures", tool=tool)


def observe(name: str, seconds: float, **labels: str) -> None:
    """Add one observation to a timing; nothing happens in a process that serves no metrics."""
    metric = _metrics.get(name)
    if metric is not None:
        (metric.labels(**labels) if labels else metric).observe(seconds)


def serve(port: int, *, gauges: Callable[[], Gauges] | None = None) -> int:
    """
    Count from now on, and serve the metrics on *port* of every address, in a thread.

    Call it in the parent before it forks: each process counts into files of its own, and the
    page adds them up, those of children that have ended included. The files are in a new folder
    that is removed when the parent ends.

    Args:
        port: 0 takes a free one.

        gauges: Called for the values of `GAUGES` each time that the page is read; names missing
            from its result are not shown.

    Returns:
        The port.

    Raises:
        OSError: The port is in use; nothing is counted then.
        SettingsError: prometheus_client was imported before the folder was set.
    """
    folder = Path(tempfile.mkdtemp(prefix="toolworker-metrics-"))
    # prometheus_client chooses its multiprocess mode when it is imported, by this variable
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    if gauges is not None:
        registry.register(_Gauges(gauges))
    try:
        server, _ = start_http_server(port, registry=registry)
        _define(folder)
    except (OSError, SettingsError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    atexit.register(_remove, folder, os.getpid())
    return int(server.server_port)


def serve_from(values: Settings, *, gauges: Callable[[], Gauges] | None = None) -> None:
    """
    Serve on `METRICS_PORT`, if one is set.

    Raises:
        SettingsError: The port is in use, or prometheus_client was imported too early.
    """
    if not values.metrics_port:
        return
    try:
        port = serve(values.metrics_port, gauges=gauges)
    except OSError as exc:
        raise SettingsError(f"METRICS_PORT: {exc.strerror} ({values.metrics_port})") from exc
    _log.info("metrics.served", port=port)


def process_ended(pid: int) -> None:
    """Drop the live gauges of a child that ended; its counts stay. Call it in the parent."""
    if _metrics:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _define(folder: Path) -> None:
    from prometheus_client import Counter, Histogram

    # in no registry: the page reads the files
    metrics: dict[str, Any] = {
        name: Counter(f"toolworker_{name}", text, labels, registry=None)
        for name, (text, labels) in COUNTERS.items()
    }
    for name, (text, labels, bounds) in TIMINGS.items():
        metrics[name] = Histogram(f"toolworker_{name}", text, labels, buckets=bounds, registry=None)
    if not any(folder.iterdir()):  # a metric without labels opens its file at once
        raise SettingsError(
            "METRICS_PORT: prometheus_client was imported before its mode was chosen, as Celery's "
            "command does where Flower is installed; set PROMETHEUS_MULTIPROC_DIR to any folder"
        )
    _metrics.update(metrics)
    for name, born in BORN.items():
        (label,) = COUNTERS[name][1]
        for value in born:
            count(name, 0, **{label: value})


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a child inherits what runs at its parent's exit
        shutil.rmtree(folder, ignore_errors=True)


class _Gauges:
    """prometheus_client's collector protocol: gauges read when the page is."""

    def __init__(self, read: Callable[[], Gauges]) -> None:
        self._read = read

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for name, values in self._read().items():
            text, labels = GAUGES[name]
            family = GaugeMetricFamily(f"toolworker_{name}", text, labels=labels)
            for label_values, value in (
                values.items() if isinstance(values, Mapping) else [((), values)]
            ):
                family.add_metric(label_values, value)
            yield family
