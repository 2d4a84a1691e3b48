"""The tasks of a run, run by Celery's own tracer on fakeredis: leases, retries, log ids."""

from types import SimpleNamespace

import fakeredis
import pytest
import structlog
from celery import Task
from celery.app.trace import trace_task

from ledger import Ledger
from ledger.errors import LedgerUnavailable
from runtime import settings
from tasks import pipeline
from tests.tool import TOOL

CALL = {"id": "c", "type": "function", "function": {"name": "ask", "arguments": "{}"}}


@pytest.fixture
def held(monkeypatch):
    """The resources of a process: a ledger with one run of one call, and its key."""
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    ledger = Ledger(fakeredis.FakeRedis(), **times, dead_letter_retention_s=600)
    held = SimpleNamespace(
        ledger=ledger,
        catalog=SimpleNamespace(validate=lambda name, arguments, context: (TOOL, {})),
        databases=SimpleNamespace(query=lambda tool, values, **_: '{"n": 1}'),
        key=ledger.accept("r", [CALL]).key,
    )
    monkeypatch.setattr(pipeline, "resources", lambda: held)
    monkeypatch.setenv("REDIS_URL", "redis://localhost:1")  # read once, for the app; never used
    settings._read_all.cache_clear()
    yield held
    settings._read_all.cache_clear()


def _run(task, held, *args, **request):
    """Run a message as a worker's process does; returns how it ended."""
    ids = {"run_id": "r", "key": held.key, "generation": 0}
    if task is not pipeline.fan_out:
        ids["index"] = 0
    headers = {"id": "m", "task": task.name, "ignore_result": True, **request}
    return trace_task(task, "m", args, ids, headers, app=pipeline.app)


def _entry(held):
    return held.ledger.client.hgetall(f"tw:run:{held.key}")


def test_a_call_whose_validation_fails_by_a_mistake_of_ours_is_answered_at_once(held):
    def fail(name, arguments, context):
        raise KeyError("a mistake of ours")

    held.catalog.validate = fail
    _run(pipeline.validate, held)
    assert _entry(held)[b"code:0"] == b"internal_error"
    assert b"a mistake" not in _entry(held)[b"output:0"]


def test_a_retried_query_that_is_only_delivered_again_leaves_the_lease_to_its_worker(held):
    held.ledger.start(held.key, 0, 0, message="m")
    _run(pipeline.query, held, "m", retries=1, delivery_info={"redelivered": True})
    assert _entry(held)[b"tries:0"] == b"1"
    _run(pipeline.query, held, "m", retries=1, delivery_info={"redelivered": False})
    assert _entry(held)[b"tries:0"] == b"2"
    assert _entry(held)[b"code:0"] == b"ok"


def test_a_validate_behind_a_fan_out_that_is_retried_as_a_message_has_its_lease(held, monkeypatch):
    published, start = [], held.ledger.start
    monkeypatch.setattr(Task, "apply_async", lambda *given, **options: published.append(given))

    def take_the_lease_and_go_away(*arguments, **named):
        start(*arguments, **named)
        raise LedgerUnavailable("the reply is lost")

    held.ledger.start = take_the_lease_and_go_away
    _run(pipeline.fan_out, held)
    ((task, args, kwargs, *_),) = published
    assert (task.name, _entry(held)[b"tries:0"]) == ("validate", b"1")
    held.ledger.start = start
    retry = {"id": "v", "task": "validate", "retries": 1}
    trace_task(task, "v", args, kwargs, retry, app=pipeline.app)
    assert _entry(held)[b"tries:0"] == b"2"


def test_messages_of_the_other_calls_are_sent_before_the_first_call_begins(held, monkeypatch):
    happened = []

    def publish(task, args, kwargs, task_id, *given, **options):
        happened.append((task.name, kwargs["index"], options.get("queue")))
        return task.AsyncResult(task_id)

    def validate(name, arguments, context):
        happened.append("the first call begins")
        return TOOL, {}

    monkeypatch.setattr(Task, "apply_async", publish)
    held.catalog.validate = validate
    held.key = held.ledger.accept("r", [{**CALL, "id": f"c{n}"} for n in range(10)]).key
    _run(pipeline.fan_out, held)
    # from the ninth on in a queue of their own: a run of many calls does not hold up small ones
    assert happened == [
        *[("validate", index, None) for index in range(1, 8)],
        *[("validate", index, "toolworker.further") for index in (8, 9)],
        "the first call begins",
    ]


def test_a_call_of_the_last_release_is_answered_and_its_run_submitted(held, monkeypatch):
    sent = []
    monkeypatch.setattr(
        pipeline, "submit_run", lambda ledger, genesys, key, generation: sent.append(key)
    )
    held.genesys = None
    held.ledger.begin(held.key, 0, message="f")
    _run(pipeline.call, held)
    assert _entry(held)[b"output:0"] == b'{"n": 1}'
    assert sent == [held.key]


@pytest.mark.parametrize(("left_s", "is_published"), [(5, True), (30, False)])
def test_a_submission_runs_behind_the_last_query_if_enough_time_is_left_and_else_is_a_message(
    held, monkeypatch, left_s, is_published
):
    published, submitted = [], []
    monkeypatch.setattr(Task, "apply_async", lambda task, *given, **options: published.append(task))
    monkeypatch.setattr(pipeline, "submit_run", lambda *given: submitted.append(given))
    held.genesys = None
    _run(pipeline.fan_out, held, timelimit=(left_s + 10, left_s))
    assert _entry(held)[b"code:0"] == b"ok"
    ways = [[task.name for task in published], [key for _, _, key, _ in submitted]]
    assert ways == ([["submit"], []] if is_published else [[], [held.key]])


def test_each_log_line_of_a_query_has_run_key_call_tool_and_trace(held):
    ids = []

    def query(tool, values, timeout_ms, traceparent):
        ids.append(structlog.contextvars.get_contextvars())
        return '{"n": 1}'

    held.databases.query = query
    _run(pipeline.query, held, "m")
    of_run = {"run_id": "r", "key": held.key, "trace_id": held.key}
    assert ids == [{**of_run, "tool": "ask", "tool_call_id": "c"}]
    assert structlog.contextvars.get_contextvars() == {}


def test_log_lines_of_a_link_have_the_ids_of_its_run_call_and_trace(held):
    seen = []

    def validate(name, arguments, context):
        seen.append(structlog.contextvars.get_contextvars())
        return TOOL, {}

    held.catalog.validate = validate
    _run(pipeline.validate, held)
    of_run = {"run_id": "r", "key": held.key, "trace_id": held.key}
    assert seen == [{**of_run, "tool_call_id": "c"}]


def test_a_submission_keeps_the_ids_of_its_task(held):
    seen = []

    def permit():
        seen.append(structlog.contextvars.get_contextvars())
        raise LedgerUnavailable("it ends here")

    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(run_id="r", key=held.key)
    with pytest.raises(LedgerUnavailable):
        pipeline.submit_run(held.ledger, SimpleNamespace(permit=permit), held.key, 0)
    structlog.contextvars.clear_contextvars()
    assert seen == [{"run_id": "r", "key": held.key, "trace_id": held.key}]
