"""What is counted and timed, by every process of a part together, and the page that shows it."""

import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime import logs
from runtime.settings import Settings, SettingsError

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "deliveries": ("Answers to deliveries.", ("answer",)),
    "runs": ("Runs that ended.", ("state",)),
    "submissions": ("POSTs to Genesys; status is none when no answer came.", ("status",)),
    "token_refreshes": ("Requests for a token.", ("outcome",)),
}
"""Name without `toolworker_` and `_total`: help and labels."""

_CALL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RUN_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 300, 600)
TIMINGS: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "tool_call_seconds": ("From start to output.", ("tool", "code"), _CALL_S),
    "run_seconds": ("From acceptance to the 2xx of the submission.", (), _RUN_S),
    "queue_wait_seconds": ("From acceptance until a worker begins a run.", (), _RUN_S),
}
"""Name without `toolworker_`: help, labels, and upper bounds in seconds."""

GAUGES: Mapping[str, str] = {
    "oldest_open_run_seconds": "Age of the oldest run that has not ended.",
    "open_runs": "Runs that have not ended.",
    "dead_letters": "Dead letters that can be replayed.",
    "circuit_open": "1 while Genesys counts as down.",
    "last_look_seconds": "Since this reconciler last asked what is due.",
}
"""Name without `toolworker_`: help. The reconcilers ask for them when the page is read."""

_log = logs.get("metrics")
_metrics: dict[str, Any] = {}
_labelled: dict[tuple[Any, ...], Any] = {}  # looking one up in prometheus-client takes a lock


def count(name: str, **labels: str) -> None:
    """One more of a counter; nothing happens in a process that serves no metrics."""
    metric = _metric(name, labels)
    if metric is not None:
        metric.inc()


def observe(name: str, seconds: float, **labels: str) -> None:
    """One more of a timing; nothing happens in a process that serves no metrics."""
    metric = _metric(name, labels)
    if metric is not None:
        metric.observe(seconds)


def _metric(name: str, labels: Mapping[str, str]) -> Any:
    metric = _metrics.get(name)
    if metric is None or not labels:
        return metric
    key = (name, *labels.items())
    labelled = _labelled.get(key)
    if labelled is None:
        labelled = _labelled[key] = metric.labels(**labels)
    return labelled


def serve(port: int, *, gauges: Callable[[], Mapping[str, float]] | None = None) -> int:
    """
    Count from now on, and serve the page on *port* of every address, from a thread of its own.

    Call it in the parent before it forks: children count into files of their own, and the page
    adds them up, those of children that have ended included.

    Args:
        port: 0 takes a free one.

        gauges: Asked for the values of `GAUGES` at each look at the page; names it leaves out are
            not shown.

    Returns:
        The port.

    Raises:
        OSError: The port is in use; nothing is counted then.
    """
    from http.server import ThreadingHTTPServer

    pages = _Pages()
    server = ThreadingHTTPServer(("", port), pages.handler)
    server.daemon_threads = True
    folder = _empty_folder(server.server_port)
    # where prometheus-client 0.26 looks for the name of the folder, each time it opens a file
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    pages.open(folder, gauges)
    _define()
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)


def serve_from(
    values: Settings, *, gauges: Callable[[], Mapping[str, float]] | None = None
) -> None:
    """
    Serve on `METRICS_PORT`, if one is set.

    Raises:
        SettingsError: The port is in use.
    """
    if not values.metrics_port:
        return
    try:
        port = serve(values.metrics_port, gauges=gauges)
    except OSError as exc:
        raise SettingsError(f"METRICS_PORT: {exc.strerror} ({values.metrics_port})") from exc
    _log.info("metrics.served", port=port)


def _empty_folder(port: int) -> Path:
    """
    The folder for the values of this start, and of no other.

    Its name is that of the port, which nobody else holds, so what is in it is left over.
    """
    folder = Path(tempfile.gettempdir()) / f"toolworker-metrics-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _define() -> None:
    from prometheus_client import CollectorRegistry, Counter, Histogram

    values = _untyped("values")
    # chosen at its import, which may be long past: Celery's command line imports Flower, which does
    values.ValueClass = values.MultiProcessValue()
    _labelled.clear()
    unused = CollectorRegistry()  # the page reads the files; the default one would warn of repeats
    for name, (text, labels) in COUNTERS.items():
        _metrics[name] = Counter(f"toolworker_{name}", text, labels, registry=unused)
    for name, (text, labels, bounds) in TIMINGS.items():
        _metrics[name] = Histogram(
            f"toolworker_{name}", text, labels, buckets=bounds, registry=unused
        )


class _Pages:
    """Writes the page; the values of processes that have ended are kept in one file a kind."""

    def __init__(self) -> None:
        self._reading = threading.Lock()

    def open(self, folder: Path, gauges: Callable[[], Mapping[str, float]] | None) -> None:
        from prometheus_client import CollectorRegistry

        self._folder, self._gauges = folder, gauges
        self._registry = CollectorRegistry()
        _untyped("multiprocess").MultiProcessCollector(self._registry, str(folder))
        if gauges is not None:
            self._registry.register(self)

    @property
    def handler(self) -> Any:
        from http.server import BaseHTTPRequestHandler

        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                body = pages.text()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: a page is read every few seconds."""

        return Handler

    def text(self) -> bytes:
        from prometheus_client import generate_latest

        with self._reading:
            for kind in ("counter", "histogram"):
                self._fold(kind)
            return bytes(generate_latest(self._registry))

    def collect(self) -> Iterable[Any]:
        """The gauges, for the registry."""
        from prometheus_client.core import GaugeMetricFamily

        values = self._gauges() if self._gauges else {}
        for name, value in values.items():
            yield GaugeMetricFamily(f"toolworker_{name}", GAUGES[name], value=value)

    def _fold(self, kind: str) -> None:
        """
        Add the files of processes that have ended into one.

        A worker's processes are replaced for as long as it runs; each leaves a file behind.
        """
        ended = [path for path in self._folder.glob(f"{kind}_*.db") if _has_ended(path)]
        if not ended:
            return
        kept = self._folder / f"{kind}_0.db"
        added: dict[str, float] = {}
        for path in (kept, *ended):
            for key, value, _, _ in _values(path):
                added[key] = added.get(key, 0.0) + value
        fresh = self._folder / f"{kind}.new"
        fresh.unlink(missing_ok=True)
        target = _untyped("mmap_dict").MmapedDict(str(fresh))
        for key, value in added.items():
            target.write_value(key, value, 0.0)
        target.close()
        fresh.replace(kept)
        for path in ended:
            path.unlink(missing_ok=True)


def _values(path: Path) -> Iterator[tuple[str, float, float, int]]:
    with suppress(FileNotFoundError):
        yield from _untyped("mmap_dict").MmapedDict.read_all_values_from_file(str(path))


def _untyped(module: str) -> Any:
    """A module of prometheus-client that has no types."""
    return importlib.import_module(f"prometheus_client.{module}")


def _has_ended(path: Path) -> bool:
    pid = int(path.stem.rpartition("_")[2])
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # the number is another user's by now
        return True
    return False
