"""OTLP over HTTP: encode spans with opentelemetry-proto and POST them to a collector."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from genesys.errors import GenesysError
from genesys.http import HttpClient
from ops.observability.exporter import Unavailable
from ops.observability.spans import Span, Trace

TIMEOUT_S = 10.0
"""For one export; OpenTelemetry's own default."""
_UNREADABLE = frozenset({400, 413, 422})
"""The same spans would be refused again; by the specification of OTLP they are dropped."""
_KINDS = {
    "internal": trace_pb2.Span.SPAN_KIND_INTERNAL,
    "client": trace_pb2.Span.SPAN_KIND_CLIENT,
    "consumer": trace_pb2.Span.SPAN_KIND_CONSUMER,
}
_SAMPLED = trace_pb2.SPAN_FLAGS_TRACE_FLAGS_MASK & 1
_KNOWN = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


class Collector:
    """
    An OpenTelemetry collector.

    The SDK is not used: it reads the environment for what it is not given, its exporter does not
    distinguish a collector that is down from one that refuses spans for good, and redis-py loads it
    in each process where it is installed, which costs a worker 6 MB.

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
        attributes = _attributes({"service.name": service_name})
        self._resource = resource_pb2.Resource(attributes=attributes)

    def send(self, traces: Sequence[Trace]) -> bool:
        """
        Send all their spans in one request; False when they were refused for good.

        Raises:
            Unavailable: No answer, or one that may be another next time.
        """
        scope = trace_pb2.ScopeSpans(
            scope=common_pb2.InstrumentationScope(name="toolworker"),
            spans=[_span(trace, span) for trace in traces for span in trace.spans],
        )
        of_service = trace_pb2.ResourceSpans(resource=self._resource, scope_spans=[scope])
        request = trace_service_pb2.ExportTraceServiceRequest(resource_spans=[of_service])
        body = gzip.compress(request.SerializeToString(), compresslevel=1)
        try:
            status = self._http.post(self._url, body, self._headers, TIMEOUT_S).status
        except GenesysError as error:
            raise Unavailable(type(error).__name__) from error
        if status in _UNREADABLE:
            return False
        if not 200 <= status < 300:
            raise Unavailable(f"it answered {status}")
        return True


def _span(trace: Trace, span: Span) -> trace_pb2.Span:
    is_remote = span.parent_id == trace.parent_id
    error = {"error.type": span.error} if span.error else {}
    code = trace_pb2.Status.STATUS_CODE_ERROR if span.error else trace_pb2.Status.STATUS_CODE_UNSET
    return trace_pb2.Span(
        trace_id=bytes.fromhex(trace.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id or ""),
        flags=_SAMPLED | _KNOWN | (_REMOTE if span.parent_id and is_remote else 0),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start_ms * 1_000_000,
        end_time_unix_nano=span.end_ms * 1_000_000,
        attributes=_attributes({**span.attributes, **error}),
        status=trace_pb2.Status(code=code),
    )


def _attributes(values: Mapping[str, str | int]) -> list[common_pb2.KeyValue]:
    return [common_pb2.KeyValue(key=name, value=_value(value)) for name, value in values.items()]


def _value(value: str | int) -> common_pb2.AnyValue:
    if isinstance(value, int):
        return common_pb2.AnyValue(int_value=value)
    return common_pb2.AnyValue(string_value=value)
