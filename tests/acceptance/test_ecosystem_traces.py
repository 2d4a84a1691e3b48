"""OpenTelemetry's released Celery instrumentation shows each run whole, as one trace."""

import json
from collections import Counter

import pytest

from ops.dev.server import free_port
from ops.dev.stack import is_up
from tests.acceptance.instruments import tracing
from tests.timing import until_unstalled

ARGUMENTS = json.dumps({"sku": "ZZ-987654", "warehouse": "US-WEST"})


@pytest.fixture(scope="module")
def traced(start_service, tmp_path_factory):
    """A service whose worker and receiver are traced, and the folder of their spans."""
    folder = tmp_path_factory.mktemp("spans")
    options = ("-I", "tests.acceptance.instruments.tracing")
    service = start_service(worker_options=options, env={"SPANS_DIR": str(folder)})
    port = free_port()
    config = ["-c", "python:webhook.gunicorn", "--bind", f"127.0.0.1:{port}"]
    app = "tests.acceptance.instruments.traced_receiver:create_app()"
    receiver = service.stack.launch("webhook-traced", "-m", "gunicorn", *config, app)
    service.stack.webhook_url = f"http://127.0.0.1:{port}"
    receiver.wait_until(lambda: is_up(f"{service.stack.webhook_url}/readyz"), timeout_s=90)
    return service, folder


def _spans_of(folder, key):
    """The spans of one run, by the task id that each names."""
    every = tracing.spans(folder)
    return [s for s in every if str(s["attributes"].get("messaging.message.id")).startswith(key)]


@pytest.mark.parametrize("count", [1, 3, 10])
def test_every_link_of_a_run_is_a_span_of_one_trace_that_begins_at_its_publish(traced, count):
    service, folder = traced
    # the second run must have a trace of its own
    expected = Counter(
        {"run/fan_out": 1, "run/validate": count, "run/query": count, "run/submit": 1}
    )

    def runs(key):
        names = Counter(span["name"] for span in _spans_of(folder, key))
        return Counter({name: names[name] for name in names if name.startswith("run/")})

    def attempt():
        run_id = service.new_run_id()
        calls = [(f"c{n}", "search_inventory", ARGUMENTS) for n in range(count)]
        key = service.deliver(run_id, *calls).body["key"]
        service.answer(run_id)
        service.wait_for(lambda: runs(key) >= expected)
        # of a run that no worker began for 3 s, the reconciler sends the message again
        return key if runs(key) == expected else None

    traces = []
    for key in [until_unstalled(attempt) for _ in range(2)]:
        found = _spans_of(folder, key)
        (trace,) = {span["context"]["trace_id"] for span in found}
        traces.append(trace)
        by_id = {span["context"]["span_id"]: span for span in found}
        (first,) = [span for span in found if span["parent_id"] not in by_id]
        assert first["name"] == "apply_async/fan_out"
        assert first["parent_id"] is None
    assert traces[0] != traces[1]
    assert "ZZ-987654" not in json.dumps(tracing.spans(folder))
