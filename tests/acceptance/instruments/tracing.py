"""OpenTelemetry's Celery instrumentation, loaded with `-I`; each process writes a file."""

import os
from pathlib import Path

from celery.signals import worker_process_init
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from tests.acceptance.instruments import lines


@worker_process_init.connect(weak=False)
def instrument(**_):
    """Trace this process, as OpenTelemetry's documentation does it: after the fork."""
    path = Path(os.environ["SPANS_DIR"]) / f"{os.getpid()}.jsonl"
    exporter = ConsoleSpanExporter(
        out=path.open("a"), formatter=lambda span: span.to_json(indent=None) + "\n"
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()


def spans(folder):
    """All spans that were written so far."""
    return lines.read(folder)
