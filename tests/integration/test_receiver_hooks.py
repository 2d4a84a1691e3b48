"""Flask extensions work on the receiver: request hooks, Sentry, tracing."""

import logging

import pytest
import redis
import sentry_sdk
from flask import request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.transport import Transport

import webhook.app
from runtime import settings
from tests.receiver import SECRET, delivery, signed
from webhook import create_app

PATH = "/webhook/tool-calls"


@pytest.fixture
def make_app(redis_server, monkeypatch):
    """Makes the receiver's app on a real Redis."""
    redis.Redis.from_url(redis_server.url).flushall()  # runs that wait would make it busy
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("WEBHOOK_SECRETS", SECRET)
    monkeypatch.setattr("webhook.intake.LEDGER_TIMEOUT_S", 30.0)  # the machine may be busy
    settings._read_all.cache_clear()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield create_app
    root.handlers[:], root.level = handlers, level
    settings._read_all.cache_clear()


@pytest.fixture
def app(make_app):
    """The receiver's app, under a client that speaks WSGI to it."""
    return make_app()


def _deliver(app, run_id):
    body = delivery(run_id)
    headers = {"Content-Type": "application/json", **signed(body)}
    return app.test_client().post(PATH, data=body, headers=headers)


def _fail(*_):
    raise RuntimeError("quotes run-of-a-caller")


def test_functions_of_a_user_run_around_a_delivery_and_may_read_its_body(app):
    seen = []

    @app.before_request
    def before():
        seen.append(request.get_json()["run_id"])

    @app.after_request
    def after(response):
        seen.append(response.status_code)
        response.headers["X-Seen"] = "yes"
        return response

    @app.teardown_request
    def teardown(error):
        seen.append(error)

    response = _deliver(app, "hooked")
    assert response.status_code == 202
    assert response.headers["X-Seen"] == "yes"
    assert seen == ["hooked", 202, None]


def test_a_function_of_a_user_may_refuse_a_delivery(app):
    @app.before_request
    def refuse():
        return {"error": "Closed for today."}, 503

    assert _deliver(app, "refused").get_json() == {"error": "Closed for today."}


class _Kept(Transport):
    """Keeps what Sentry would send."""

    def __init__(self, options=None):
        super().__init__(options)
        self.items = []

    def capture_envelope(self, envelope):
        self.items += [item.payload.json for item in envelope.items]


@pytest.fixture
def sentry():
    transport = _Kept()
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=transport,
        traces_sample_rate=1.0,
        integrations=[FlaskIntegration()],
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    yield transport.items
    sentry_sdk.init()  # without a DSN it sends nothing


def test_sentry_sees_a_delivery_as_a_transaction(sentry, app):
    assert _deliver(app, "traced").status_code == 202
    (transaction,) = (item for item in sentry if item.get("type") == "transaction")
    assert transaction["transaction"] == "tool_calls"
    assert transaction["request"]["method"] == "POST"
    assert transaction["contexts"]["trace"]["status"] == "ok"


def test_sentry_sees_an_unexpected_error_and_the_sender_a_503(sentry, app, monkeypatch):
    monkeypatch.setattr(webhook.app, "read", _fail)
    response = _deliver(app, "failed")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.get_json() == {
        "error": "The run cannot be stored right now; send it again later."
    }
    (event,) = (item for item in sentry if "exception" in item)
    assert event["exception"]["values"][0]["type"] == "RuntimeError"


def test_an_unexpected_error_is_a_503_also_with_flask_debug(make_app, monkeypatch):
    monkeypatch.setenv("FLASK_DEBUG", "1")
    monkeypatch.setattr(webhook.app, "read", _fail)
    response = _deliver(make_app(), "failed")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


def test_the_text_of_an_unexpected_error_is_not_logged(app, monkeypatch, caplog):
    monkeypatch.setattr(webhook.app, "read", _fail)
    assert _deliver(app, "failed").status_code == 503
    assert "run-of-a-caller" not in caplog.text


def test_opentelemetry_sees_a_delivery_as_a_span(app):
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    FlaskInstrumentor.instrument_app(app, tracer_provider=provider)
    assert _deliver(app, "spanned").status_code == 202
    (span,) = spans.get_finished_spans()
    assert span.name == f"POST {PATH}"
    assert span.attributes["http.route"] == PATH
    assert 202 in (
        span.attributes.get(f"http.{name}") for name in ("status_code", "response.status_code")
    )
