"""Trace exporter: a thread of each reconciler that sends the traces of ended runs."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from ledger import Ledger
from ledger.errors import LedgerUnavailable
from ledger.exports import EndedRun, EndedRuns
from ledger.owners import new_owner_id
from ops.observability.spans import Trace, trace_of
from runtime import logs
from runtime.settings import Settings
from runtime.trace_context import is_in_share

LOOK_EVERY_S = 1.0
"""Between two looks at the ended runs; what a trace waits at most while the collector is well."""
RUNS_AT_ONCE = 50
SPANS_AT_ONCE = 2_000
"""Spans of one export, about 200 kB uncompressed; a run of 128 calls has 400 at least."""
_LONGEST_PAUSE_S = 15.0

_log = logs.get("traces")


class Unavailable(Exception):
    """The destination did not take the traces; the same are sent again."""


class Destination(Protocol):
    """Where traces are sent."""

    def send(self, traces: Sequence[Trace]) -> bool:
        """Send them; False when they were refused for good. Raises Unavailable: send them again."""


class TraceExporter:
    """
    One of any number of exporters of the same ledger; one at a time sends.

    Args:
        share, slow_ms: Of traces without an error that took less, this share is sent.
    """

    def __init__(
        self, ledger: Ledger, destination: Destination, *, share: float, slow_ms: float
    ) -> None:
        self._runs = EndedRuns(ledger, new_owner_id())
        self._destination = destination
        self._share, self._slow_ms = share, slow_ms
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Send from now on, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended; what was not sent another exporter sends."""
        self._stopping.set()
        self._thread.join(timeout=2)

    def send_ended(self) -> bool:
        """
        Send the traces of runs that ended lately, at most `RUNS_AT_ONCE`.

        Returns:
            Whether there may be more.

        Raises:
            LedgerUnavailable, Unavailable: Nothing is lost; the same are sent again.
        """
        taken = self._runs.take(RUNS_AT_ONCE)
        if not taken:
            return False
        for runs, traces in self._parts(taken):
            if traces:
                self._send(traces)
            if not self._runs.done(runs):
                return False  # another exporter sends the others
        return len(taken) == RUNS_AT_ONCE

    def _parts(self, taken: Sequence[EndedRun]) -> Iterator[tuple[list[EndedRun], list[Trace]]]:
        """Runs and their traces, as many as one export holds; runs without one, too."""
        runs: list[EndedRun] = []
        traces: list[Trace] = []
        for run, entry in zip(taken, self._runs.entries(taken), strict=True):
            runs.append(run)
            trace = _trace(run.key, entry)
            if trace and self._is_kept(trace):
                traces.append(trace)
            if sum(len(trace.spans) for trace in traces) >= SPANS_AT_ONCE:
                yield runs, traces
                runs, traces = [], []
        if runs:
            yield runs, traces

    def _send(self, traces: Sequence[Trace]) -> None:
        """Send them; in halves when they are refused: one of them, or the size, may be why."""
        if self._destination.send(traces):
            return
        if len(traces) == 1:
            trace_id = traces[0].trace_id
            _log.error("traces.refused", trace_id=trace_id, meaning="the collector drops it")
            return
        middle = len(traces) // 2
        self._send(traces[:middle])
        self._send(traces[middle:])

    def _is_kept(self, trace: Trace) -> bool:
        is_notable = trace.has_error or trace.took_ms >= self._slow_ms
        return is_notable or is_in_share(trace.trace_id, self._share)

    def _run(self) -> None:
        pause_s = LOOK_EVERY_S
        is_down = False
        while not self._stopping.wait(pause_s):
            try:
                while self.send_ended() and not self._stopping.is_set():
                    pass
                if is_down:
                    _log.info("collector.back")
                pause_s, is_down = LOOK_EVERY_S, False
            except Unavailable as error:
                if not is_down:
                    _log.warning("collector.unavailable", reason=str(error))
                pause_s, is_down = min(pause_s * 2, _LONGEST_PAUSE_S), True
            except LedgerUnavailable:
                pass  # the reconciler logs it
            except Exception as error:  # noqa: BLE001  the outermost loop of a thread
                _log.error("traces.failed", reason=type(error).__name__)
                pause_s = _LONGEST_PAUSE_S


def _trace(key: str, entry: Mapping[str, str]) -> Trace | None:
    """The trace of a run; None for one that is gone, or whose timeline cannot be read."""
    try:
        return trace_of(key, entry) if entry else None
    except (KeyError, ValueError) as error:  # it would hold up all others
        _log.error("trace.unreadable", key=key, reason=type(error).__name__)
        return None


def exporter_from(values: Settings, ledger: Ledger) -> Callable[[], None]:
    """
    Start the exporter that the settings describe, if they do.

    Returns:
        What stops it.
    """
    endpoint = values.otel_exporter_otlp_endpoint
    if not endpoint:
        return lambda: None
    from ops.observability.otlp import Collector

    collector = Collector(
        endpoint.reveal(),
        headers=values.otlp_headers(),
        certificate=values.otel_exporter_otlp_certificate,
        service_name=values.otel_service_name,
    )
    exporter = TraceExporter(
        ledger, collector, share=values.trace_share, slow_ms=values.trace_slow_s * 1000
    )
    exporter.start()
    _log.info("traces.started", share=values.trace_share)
    return exporter.stop
