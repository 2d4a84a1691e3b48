"""Helper: a trace collector that decodes OTLP, keeps what it receives, and can be switched off."""

import gzip
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Spans by trace id, each with its name, ids, attributes, kind and error; `status` answers."""

    def __init__(self):
        self.status = 200
        self.requests = []
        self._lock = threading.Lock()
        self._spans = defaultdict(dict)
        self.repeated = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.status == 200:
                    collector._take(self.path, dict(self.headers), body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def trace(self, trace_id):
        """The spans of one trace, by span id."""
        with self._lock:
            return dict(self._spans.get(trace_id, {}))

    def traces(self):
        with self._lock:
            return {trace_id: dict(spans) for trace_id, spans in self._spans.items()}

    def _take(self, path, headers, body):
        request = ExportTraceServiceRequest()
        request.ParseFromString(gzip.decompress(body))
        with self._lock:
            self.requests.append((path, headers))
            for resource in request.resource_spans:
                names = {a.key: a.value.string_value for a in resource.resource.attributes}
                for span in (s for scope in resource.scope_spans for s in scope.spans):
                    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
                    self.repeated += span_id in self._spans[trace_id]
                    self._spans[trace_id][span_id] = {
                        "name": span.name,
                        "kind": span.kind,
                        "parent": span.parent_span_id.hex(),
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "is_error": span.status.code == 2,
                        "resource": names,
                        "attributes": {
                            a.key: a.value.int_value
                            if a.value.HasField("int_value")
                            else a.value.string_value
                            for a in span.attributes
                        },
                    }
