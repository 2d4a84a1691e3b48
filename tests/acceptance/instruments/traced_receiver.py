"""The receiver with OpenTelemetry's Celery instrumentation in each of its processes."""

from tests.acceptance.instruments import tracing
from webhook import create_app as create_plain_app


def create_app():
    """What gunicorn serves."""
    tracing.instrument()
    return create_plain_app()
