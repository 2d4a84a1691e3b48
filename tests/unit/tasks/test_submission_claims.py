"""What a sender does while no POST may go, or another process has, ends or changes its run."""

import json

import pytest
from structlog.testing import capture_logs

from genesys.errors import GenesysUnavailable
from genesys.pacing.rate_limiter import Slot
from ledger.errors import LedgerUnavailable
from tests.submission import answer


def test_a_run_that_is_gone_takes_no_place(runs):
    assert runs.submit("0" * 32) == "gone"
    assert runs.limiter.taken == 0


def test_a_run_that_another_sender_has_is_left_to_it_and_its_place_given_back(runs):
    key = runs.accept()
    runs.ledger.claim(key, 0, b"{}", seen=1, owner="another")
    assert runs.submit(key) == "held"
    assert (runs.limiter.taken, runs.genesys.posts) == (0, [])


@pytest.mark.parametrize(
    ("slots", "error", "word", "why"),
    [
        ([Slot(2.0, "rate")], None, "queued",
         "GENESYS_REQUESTS_PER_MINUTE are used up for now"),
        ([], GenesysUnavailable("it answered 503."), "without a token",
         "there is no token: it answered 503."),
    ],
)  # fmt: skip
def test_while_no_post_may_go_a_run_is_parked_and_no_attempt_counted(runs, slots, error, word, why):
    key = runs.accept()
    runs.limiter.slots[:], runs.tokens.error = slots, error
    with capture_logs() as lines:
        assert runs.submit(key) == word
    entry = runs.entry(key)
    assert (entry["waits_for"], entry["state"]) == (why, "accepted")
    assert "attempts" not in entry
    assert "body" not in entry
    assert runs.redis.zcard("tw:turns") == 1
    assert lines == [
        {"event": "run.queued", "log_level": "info", "run_id": "r-1", "key": key, "why": why}
    ]


def test_a_run_that_cannot_be_parked_yet_is_not(runs):
    key = runs.accept(outputs=0, missing=1)
    runs.limiter.slots[:] = [Slot(2.0, "circuit")]
    with capture_logs() as lines:
        assert runs.submit(key) == "incomplete"
    assert lines == []
    runs.tokens.error = GenesysUnavailable("it is down")
    assert runs.submit(key) == "incomplete"


@pytest.mark.parametrize("slots", [[], [Slot(2.0, "circuit")]])
def test_a_run_that_expired_is_a_dead_letter(runs, slots):
    key = runs.accept()
    runs.clock.ms += 600_000
    runs.limiter.slots[:] = slots
    with capture_logs() as lines:
        assert runs.submit(key) == "dead"
    assert (runs.entry(key)["state"], runs.entry(key)["reason"]) == ("dead", "expired")
    assert (runs.limiter.taken, runs.genesys.posts) == (0, [])
    assert lines == [
        {"event": "run.dead", "log_level": "error", "run_id": "r-1", "key": key,
         "reason": "expired"}
    ]  # fmt: skip


def test_a_run_that_expired_and_was_ended_by_another_is_gone(runs, monkeypatch):
    key, bury = runs.accept(), runs.ledger.bury
    runs.clock.ms += 600_000

    def bury_after_another(*arguments):
        assert bury(*arguments) == "expired"
        return bury(*arguments)

    monkeypatch.setattr(runs.ledger, "bury", bury_after_another)
    with capture_logs() as lines:
        assert runs.submit(key) == "gone"
    assert lines == []


def test_an_output_that_comes_before_the_claim_is_sent_too(runs, monkeypatch):
    key = runs.accept(outputs=1, missing=1)
    runs.clock.ms += 30_000
    claim = runs.ledger.claim

    def claim_after_another_output(*arguments, **named):
        runs.record(key, 1)
        return claim(*arguments, **named)

    monkeypatch.setattr(runs.ledger, "claim", claim_after_another_output)
    assert runs.submit(key, answer(200)) == "submitted"
    ((_, body, _),) = runs.genesys.posts
    assert [call["output"] for call in json.loads(body)["tool_calls"]] == ["0", "1"]
    assert runs.limiter.taken == 1  # that of the first try was given back


def test_what_another_sender_ended_meanwhile_is_not_ended_again(runs):
    key = runs.accept()

    def answer_after_another():
        runs.ledger.finish(key, 0, {"status": 200})
        return answer(422)

    with capture_logs() as lines:
        assert runs.submit(key, answer_after_another) == "gone"
    assert runs.entry(key)["state"] == "submitted"
    assert lines == []


def test_a_2xx_is_recorded_until_the_ledger_takes_it(runs, monkeypatch):
    key, finish = runs.accept(), runs.ledger.finish
    down = [LedgerUnavailable("down")] * 3

    def finish_later(*arguments):
        if down:
            raise down.pop()
        finish(*arguments)

    monkeypatch.setattr(runs.ledger, "finish", finish_later)
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert runs.submit(key, answer(200)) == "submitted"
    assert runs.entry(key)["state"] == "submitted"
    assert len(runs.genesys.posts) == 1
    assert down == []
