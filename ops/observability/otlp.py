"""OTLP over HTTP, encoded by OpenTelemetry's SDK; imported only where traces are sent."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from genesys.errors import GenesysError
from genesys.http import HttpClient
from ops.observability.exporter import Unavailable
from ops.observability.spans import Span, Trace

TIMEOUT_S = 10.0
"""For one export; OpenTelemetry's own default."""
_UNREADABLE = frozenset({400, 413, 422})
"""The same spans would be refused again; by the specification of OTLP they are dropped."""
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
_SCOPE = InstrumentationScope("toolworker")


class Collector:
    """
    An OpenTelemetry collector.

    The SDK's own exporter is not used: it reads the environment for what it is not given, and does
    not tell a collector that is down from one that refuses these spans for good.

    Args:
        endpoint: Without `/v1/traces`.

        certificate: Of the authority that signed the collector's; None for requests' own list.

        service_name: Under which the traces are shown.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        headers: Mapping[str, str] | None = None,
        certificate: Path | None = None,
        service_name: str = "toolworker",
    ) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._headers = {
            **(headers or {}),
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
        }
        ca_bundle = str(certificate) if certificate else None
        self._http = HttpClient(ca_bundle=ca_bundle, allow_http=True)
        self._resource = Resource({"service.name": service_name})

    def send(self, traces: Sequence[Trace]) -> bool:
        """
        Send all their spans in one request; False when they were refused for good.

        Raises:
            Unavailable: No answer, or one that may be another next time.
        """
        spans = [self._readable(trace, span) for trace in traces for span in trace.spans]
        body = gzip.compress(encode_spans(spans).SerializeToString(), compresslevel=1)
        try:
            status = self._http.post(self._url, body, self._headers, TIMEOUT_S).status
        except GenesysError as error:
            raise Unavailable(type(error).__name__) from error
        if status in _UNREADABLE:
            return False
        if not 200 <= status < 300:
            raise Unavailable(f"it answered {status}")
        return True

    def _readable(self, trace: Trace, span: Span) -> ReadableSpan:
        trace_id = int(trace.trace_id, 16)
        is_remote = span.parent_id == trace.parent_id
        parent = _context(trace_id, span.parent_id, is_remote) if span.parent_id else None
        error = {"error.type": span.error} if span.error else {}
        return ReadableSpan(
            span.name,
            context=_context(trace_id, span.span_id, is_remote=False),
            parent=parent,
            resource=self._resource,
            attributes={**span.attributes, **error},
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
            start_time=span.start_ms * 1_000_000,
            end_time=span.end_ms * 1_000_000,
            instrumentation_scope=_SCOPE,
        )


def _context(trace_id: int, span_id: str, is_remote: bool) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), is_remote, TraceFlags(TraceFlags.SAMPLED))
