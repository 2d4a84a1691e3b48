"""How a submission ends, by what Genesys answers."""

import json

import pytest
import structlog
from structlog.testing import capture_logs

from genesys.errors import Rejected
from ledger.admin import RunStore
from runtime.trace_context import run_trace
from tests.submission import TRACEPARENT, answer, lost, unconnected

NOT_CALLED = (
    "The tool was not called in time, so nothing was looked up. Tell the caller that it takes a "
    "moment longer, and try the same call once more."
)
NO_ANSWER = "The tool did not answer in time. Tell the caller, or try the same call again."


@pytest.fixture
def counted(monkeypatch):
    """The counter of calls without an output, each time it is counted."""
    found = []

    def count(name, amount=1, **labels):
        if name == "calls_unanswered":
            found.append(amount)

    monkeypatch.setattr("runtime.metrics.count", count)
    return found


def test_a_2xx_ends_the_run_after_one_post(runs):
    key = runs.accept(outputs=2)
    runs.genesys.took_s = 0.25
    with capture_logs() as lines:
        assert runs.submit(key, answer(202)) == "submitted"
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "traceparent": run_trace(key, TRACEPARENT).traceparent("attempt", 1),
    }
    body = b'{"tool_calls":[{"tool_call_id":"c0","output":"0"},{"tool_call_id":"c1","output":"1"}]}'
    assert runs.genesys.posts == [("https://genesys/runs/r-1", body, headers)]
    entry = runs.entry(key)
    assert (entry["state"], entry["attempts"]) == ("submitted", "1")
    assert entry["attempt_status:1"] == "202"
    assert entry["attempt_correlation_id:1"] == "id-202"
    assert entry["attempt_took_ms:1"] == "250"
    assert lines == [
        {
            "event": "run.submitted", "log_level": "info", "run_id": "r-1", "key": key,
            "attempt": 1, "status": 202, "correlation_id": "id-202", "took_ms": 250,
        }
    ]  # fmt: skip
    assert structlog.contextvars.get_contextvars()["trace_id"] == TRACEPARENT[3:35]
    assert runs.limiter.taken == 1


def test_calls_without_an_output_are_errors_by_whether_they_were_started(runs, counted):
    key = runs.accept(outputs=1, missing=2)
    runs.ledger.start(key, 0, 1, message="m")
    assert runs.submit(key) == "incomplete"
    assert (counted, runs.limiter.taken) == ([], 0)
    runs.clock.ms += 30_000
    assert runs.submit(key, answer(503, retry_after=9)) == "postponed"
    runs.clock.ms += 9_000
    assert runs.submit(key, answer(200)) == "submitted"
    (_, first, _), (_, second, _) = runs.genesys.posts
    assert first == second
    assert [json.loads(call["output"]) for call in json.loads(first)["tool_calls"]] == [
        0,
        {"error": NO_ANSWER, "code": "timeout", "retryable": True},
        {"error": NOT_CALLED, "code": "unavailable", "retryable": True},
    ]
    assert counted == [2]  # once, however often the run is sent


def test_outputs_that_are_too_large_together_are_cut_to_what_genesys_takes(runs):
    key = runs.accept(outputs=0, missing=2)
    for index in (0, 1):
        runs.record(key, index, json.dumps({"items": ["x" * 10_000] * 30, "total": 30}))
    assert runs.submit(key, answer(200)) == "submitted"
    ((_, body, _),) = runs.genesys.posts
    assert 480_000 < len(body) <= 512_000
    assert [len(json.loads(body)["tool_calls"]), runs.entry(key)["state"]] == [2, "submitted"]


def test_a_replay_with_new_outputs_has_an_idempotency_key_of_its_own(runs):
    key = runs.accept()
    assert runs.submit(key, answer(400)) == "dead"
    RunStore(runs.ledger).replay(key, "full")
    assert runs.submit(key) == "gone"
    runs.record(key, 0, "new", generation=1)
    assert runs.submit(key, answer(200), generation=1) == "submitted"
    assert [post[2]["Idempotency-Key"] for post in runs.genesys.posts] == [key, f"{key}.1"]
    assert runs.genesys.posts[1][2]["traceparent"] == run_trace(key, TRACEPARENT, 1).traceparent(
        "attempt", 1
    )


def test_a_refusal_is_a_dead_letter_with_its_outcome(runs):
    key = runs.accept()
    runs.genesys.took_s = 0.25
    with capture_logs() as lines:
        refusal = answer(418, code="its.code", message="Its words.")
        assert runs.submit(key, refusal) == "dead"
    entry = runs.entry(key)
    assert (entry["state"], entry["reason"]) == ("dead", "rejected")
    assert {name: text for name, text in entry.items() if name.startswith("attempt_")} == {
        "attempt_at:1": "1700000000000",
        "attempt_status:1": "418",
        "attempt_code:1": "its.code",
        "attempt_correlation_id:1": "id-418",
        "attempt_error:1": "Genesys answered 418. Genesys said: Its words.",
        "attempt_took_ms:1": "250",
    }
    assert lines == [
        {
            "event": "run.dead", "log_level": "error", "run_id": "r-1", "key": key, "attempt": 1,
            "status": 418, "code": "its.code", "correlation_id": "id-418", "took_ms": 250,
            "reason": "rejected",
        }
    ]  # fmt: skip


def test_refused_credentials_end_the_run_without_a_post(runs):
    key = runs.accept()
    runs.tokens.error = Rejected("the secret is wrong", code="invalid_client")
    assert runs.submit(key) == "dead"
    entry = runs.entry(key)
    assert (entry["reason"], entry["attempt_code:1"]) == ("rejected", "invalid_client")
    assert entry["attempt_error:1"] == "the secret is wrong"
    assert runs.genesys.posts == []


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([answer(409)], "rejected"),
        ([answer(503), answer(409)], "rejected"),
        ([lost, answer(409)], "unconfirmed"),
        ([lost, answer(404)], "unconfirmed"),
        ([lost, answer(422)], "unconfirmed"),
        ([lost, answer(400)], "rejected"),
        ([lost, answer(503), answer(409)], "unconfirmed"),
        ([lost, Rejected("the URL cannot be sent")], "rejected"),
    ],
)
def test_a_refusal_that_an_arrival_explains_is_unconfirmed(runs, answers, reason):
    key = runs.accept()
    assert runs.submit(key, *answers) == "dead"
    assert runs.entry(key)["reason"] == reason
    assert runs.entry(key)["attempts"] == str(len(answers))


def test_an_attempt_of_an_earlier_claim_may_have_arrived_too(runs):
    key = runs.accept()
    runs.ledger.claim(
        key, 0, b'{"tool_calls":[{"tool_call_id":"c0","output":"0"}]}', seen=1, owner="died"
    )
    runs.clock.ms += 12_001
    assert runs.submit(key, answer(409)) == "dead"
    assert runs.entry(key)["reason"] == "unconfirmed"


@pytest.mark.parametrize(
    ("answers", "reason", "sentence"),
    [
        ([answer(503)] * 3, "rejected", "Genesys answered 503. 3 attempts were made."),
        ([lost] * 3, "unconfirmed", "no answer came 3 attempts were made."),
        ([unconnected] * 3, "rejected", "no connection 3 attempts were made."),
        ([lost, unconnected, unconnected], "unconfirmed", "no connection 3 attempts were made."),
        ([unconnected, lost, unconnected], "unconfirmed", "no connection 3 attempts were made."),
        ([unconnected, unconnected, lost], "unconfirmed", "no answer came 3 attempts were made."),
        (
            [answer(500)] * 3, "rejected",
            "Genesys answered 500. 3 attempts were made. Genesys fails on this submission again "
            "and again. Give its support the correlation id; replay the run when it is fixed.",
        ),
    ],
)  # fmt: skip
def test_a_run_has_no_more_attempts_than_are_allowed(runs, answers, reason, sentence):
    runs.client = runs.new_client(max_attempts=3)
    key = runs.accept()
    assert runs.submit(key, *answers) == "dead"
    entry = runs.entry(key)
    assert (entry["reason"], entry["attempts"]) == (reason, "3")
    assert entry["attempt_error:3"] == sentence
