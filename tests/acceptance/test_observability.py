"""Each ended run is one whole trace, which leads from the caller's trace id to Postgres' log."""

import json
import re
from pathlib import Path

import psycopg
import pytest

from tests import registry
from tests.alert_receiver import SECRET, AlertReceiver
from tests.collector import Collector

ROOT = Path(__file__).resolve().parents[2]
TRACE, SENDER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ARGUMENTS = json.dumps({"sku": "ZZ-987654", "warehouse": "US-WEST"})
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'toolworker_reader'
"""


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def receiver():
    receiver = AlertReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def traced(start_service, collector, receiver, tools_with_hold):
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=a%20key",
        "OTEL_SERVICE_NAME": "tools-of-acme",
        "ALERT_URL": receiver.url,
        "ALERT_SECRET": SECRET,
        # not ours: a library that reads it sends nowhere
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/",
        "OTEL_SDK_DISABLED": "true",
    }
    return start_service(env=env, reconcilers=2, tools_dir=tools_with_hold)


def _whole(service, collector, trace_id, calls):
    """The root and all spans of one trace, once they are there; fails unless it is whole."""
    spans = service.wait_for(lambda: collector.trace(trace_id))
    assert registry.problems(spans, calls) == []
    (root,) = [span for span in spans.values() if span["name"] == "run"]
    return root, spans


def test_a_run_is_one_trace_by_the_conventions_and_continues_its_senders(traced, collector):
    run_id = traced.new_run_id()
    headers = {"traceparent": f"00-{TRACE}-{SENDER}-01"}
    calls = [("good", "search_inventory", ARGUMENTS), ("bad", "get_order", '{"nonsense": 1}')]
    key = traced.deliver(run_id, *calls, headers=headers).body["key"]
    traced.answer(run_id)
    root, spans = _whole(traced, collector, TRACE, calls=2)

    assert root["parent"] == SENDER
    assert root["resource"] == {"service.name": "tools-of-acme"}
    by_name = {span["name"]: span for span in spans.values()}
    assert set(by_name) == {
        "run",
        "receive",
        "wait",
        "execute_tool search_inventory",
        "query search_inventory",
        "execute_tool get_order",
        "validate",
        "POST",
    }
    tool = by_name["execute_tool search_inventory"]["attributes"]
    assert tool["gen_ai.operation.name"] == "execute_tool"
    assert (tool["gen_ai.tool.name"], tool["gen_ai.tool.call.id"]) == ("search_inventory", "good")
    failed = by_name["execute_tool get_order"]
    assert (failed["is_error"], failed["attributes"]["error.type"]) == (True, "invalid_arguments")
    text = json.dumps(collector.traces())
    assert "ZZ-987654" not in text
    assert "nonsense" not in text

    (post,) = [span_id for span_id, span in spans.items() if span["name"] == "POST"]
    sent = {k.lower(): v for k, v in traced.submissions(run_id)[0]["headers"].items()}
    assert sent["traceparent"] == f"00-{TRACE}-{post}-01"
    path, headers = collector.requests[-1]
    assert path == "/v1/traces"
    assert {k.lower(): v for k, v in headers.items()}["x-api-key"] == "a key"
    assert f"run {run_id}, key {key}, trace {TRACE}" in traced.toolworker("runs", "show", TRACE)


def test_a_run_without_a_traceparent_has_its_key_as_trace_id(traced, collector):
    run_id = traced.new_run_id()
    headers = {"traceparent": "00-" + "0" * 32 + "-" + "1" * 16 + "-01"}
    key = traced.deliver(run_id, ("c", "search_inventory", ARGUMENTS), headers=headers).body["key"]
    traced.answer(run_id)
    root, _ = _whole(traced, collector, key, calls=1)
    assert root["parent"] == ""


def test_a_run_whose_worker_was_killed_is_one_whole_trace(traced, collector):
    run_id = traced.new_run_id()
    with traced.closed_gate():
        key = traced.deliver(run_id, ("c", "gate", "{}")).body["key"]
        traced.kill(traced.owner_pid(key, 0))
    traced.answer(run_id)
    _, spans = _whole(traced, collector, key, calls=1)
    (lost,) = [span for span in spans.values() if span["name"] == "try"]
    assert lost["attributes"]["error.type"] == "worker_lost"
    (done,) = [span for span in spans.values() if span["name"] == "query gate"]
    assert lost["end"] <= done["start"]


def test_a_collector_that_is_down_gets_each_trace_once_it_is_back(traced, collector):
    collector.status = 503
    keys = []
    for _ in range(5):
        run_id = traced.new_run_id()
        keys.append(traced.deliver(run_id, ("c", "search_inventory", ARGUMENTS)).body["key"])
        traced.answer(run_id)
    traced.wait_for(lambda: "collector.unavailable" in traced.logs())
    assert not any(collector.trace(key) for key in keys)
    collector.status = 200
    for key in keys:
        _whole(traced, collector, key, calls=1)


def test_a_receiver_of_alerts_that_is_down_gets_each_once_it_is_back(traced, receiver):
    receiver.status = 503
    traced.inject(submit=[{"status": 422}])
    key = traced.deliver(traced.new_run_id(), ("c", "search_inventory", ARGUMENTS)).body["key"]
    cause = "DEAD_LETTER:rejected"

    def waiting():  # of this cause: a machine that stalls may have others
        return sum(cause in raw for raw in traced.ledger().lrange("tw:alerts:outbox", 0, -1))

    def taken():
        return [event for event in receiver.events if event["data"]["id"] == cause]

    traced.wait_for(lambda: waiting() == 1)
    traced.toolworker("runs", "drop", key)
    traced.wait_for(lambda: waiting() == 2)
    assert taken() == []
    receiver.status = 204
    expected = [("raised", cause), ("ended", cause)]
    traced.wait_for(lambda: [told for told in receiver.told() if told[1] == cause] == expected)
    data = taken()[0]["data"]
    assert "Genesys refused it for good" in data["sentence"]
    assert data["next"] == [
        f"toolworker runs show {key} --body",
        f"toolworker runs replay {key} --mode submission",
    ]
    assert (Path(ROOT) / data["runbook"]).is_file()


def test_the_documents_walk_leads_from_a_trace_id_to_the_slow_statement(
    traced, collector, postgres_server, tmp_path_factory
):
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("ALTER ROLE toolworker_reader SET log_min_duration_statement = 200")
        connection.execute(_END_SESSIONS)  # a new one has the setting
    try:
        run_id = traced.new_run_id()
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        headers = {"traceparent": f"00-{trace_id}-{SENDER}-01"}
        traced.deliver(run_id, ("slow", "hold", '{"seconds": 0.5}'), headers=headers)
        traced.answer(run_id, within_s=30)
        _, spans = _whole(traced, collector, trace_id, calls=1)
    finally:
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            connection.execute("ALTER ROLE toolworker_reader RESET log_min_duration_statement")
    (query,) = [span_id for span_id, span in spans.items() if span["name"] == "query hold"]

    steps = _typed(ROOT / "docs" / "observability.md")
    assert [step.split()[0] for step in steps] == ["toolworker", "toolworker", "grep", "grep"]
    typed = [step.replace("TRACE_ID", trace_id) for step in steps]
    shown = traced.toolworker(*typed[0].split()[1:])
    assert "hold) ended: ok" in shown
    assert "DONE" in traced.toolworker(*typed[1].split()[1:])
    events = {json.loads(line)["event"] for line in _grep(typed[2], traced.logs())}
    assert {"delivery.accepted", "call.recorded", "run.submitted"} <= events
    lines = _grep(typed[3], _server_log(tmp_path_factory))
    slow = [line for line in lines if "duration:" in line and "FETCH" in line]
    assert slow  # once for each part of the protocol that took long
    comment = f"/*tool='hold',traceparent='00-{trace_id}-{query}-01'*/"
    assert all(comment in line for line in slow)


def _server_log(tmp_path_factory):
    found = tmp_path_factory.getbasetemp().glob("postgres*/server.log")
    return "".join(path.read_text() for path in found)


def _typed(page):
    """The commands of the page's walk, in order."""
    _, _, walk = page.read_text().partition("## From a complaint to the statement")
    blocks = re.findall(r"```\n(.*?)```", walk.partition("\n## ")[0], re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def _grep(command, text):
    """The lines that the command's pattern finds."""
    pattern = command.split()[1]
    return [line for line in text.splitlines() if pattern in line]
