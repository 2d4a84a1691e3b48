"""The judge of the chaos tests: what counts as lost, on entries that are written out."""

import json

import pytest

from tests.chaos.harness import Row, Sent, judge_run, table

CALLS = [("c0", "hold", '{"seconds": 0.2}')]
SENT = Sent("run-1", "key", CALLS, 100.0)


def attempt(output=None, *, status=200, sha256="a", at=101.5):
    text = json.dumps(output or {"items": [{"state": "slept"}], "total": 1})
    body = {"tool_calls": [{"tool_call_id": "c0", "output": text}]}
    return {"status": status, "sha256": sha256, "at": at, "body": body}


def dead(reason, attempts, statuses):
    """A dead letter: how many attempts it had, and what was answered to which of them."""
    answered = {f"attempt_status:{number}": str(status) for number, status in statuses.items()}
    return {"state": "dead", "reason": reason, "attempts": str(attempts), **answered}


def judged(entry, *attempts, may_be_forgotten=False):
    row = Row("a fault", runs=1)
    judge_run(row, SENT, entry, list(attempts), may_be_forgotten)
    return row


def test_a_run_that_was_answered_once_is_good():
    row = judged({"state": "submitted"}, attempt())

    assert (row.is_good, row.worst_s) == (True, 1.5)


@pytest.mark.parametrize("entry", [{}, {"state": "submitted"}])
def test_a_run_without_an_accepted_post_is_lost(entry):
    row = judged(entry, attempt(status=503))

    assert (row.is_good, row.lost) == (False, 1)


@pytest.mark.parametrize(
    ("reason", "attempts", "statuses", "is_good"),
    [
        ("unconfirmed", 2, {2: 503}, True),
        ("unconfirmed", 2, {1: 503}, True),
        ("unconfirmed", 2, {1: 503, 2: 503}, False),
        ("unconfirmed", 0, {}, False),
        ("expired", 0, {}, False),
        ("expired", 3, {1: 503}, False),
        ("rejected", 1, {1: 400}, False),
    ],
)
def test_a_dead_letter_is_a_loss_unless_an_attempt_had_no_answer(
    reason, attempts, statuses, is_good
):
    # the ledger's own verdict counts for nothing
    row = judged(dead(reason, attempts, statuses) | {"is_unknown": "1"})

    assert (row.is_good, row.dead, row.lost) == (is_good, 1, int(not is_good))


def test_a_dead_letter_may_not_be_answered_twice_or_with_other_bytes_either():
    entry = dead("unconfirmed", 2, {2: 503})
    repeated = judged(entry, attempt(), attempt())
    other = judged(entry, attempt(), attempt(sha256="b"))

    assert (repeated.is_good, repeated.repeated) == (True, 1)
    assert (other.is_good, other.twice) == (False, 1)


def test_what_an_emptied_ledger_forgot_is_counted_apart_unless_it_was_answered():
    forgotten = judged({}, may_be_forgotten=True)
    answered = judged({}, attempt(), may_be_forgotten=True)

    assert (forgotten.is_good, forgotten.forgotten) == (True, 1)
    assert (answered.is_good, answered.forgotten) == (True, 0)


def test_what_an_emptied_ledger_forgot_may_still_not_be_answered_wrongly_or_twice():
    wrong = judged({}, attempt({"items": [], "total": 0}), may_be_forgotten=True)
    twice = judged({}, attempt(), attempt(sha256="b"), may_be_forgotten=True)

    assert (wrong.is_good, wrong.wrong) == (False, 1)
    assert (twice.is_good, twice.twice) == (False, 2)


def test_two_equal_posts_are_repeated_where_one_had_no_answer_and_else_twice():
    entry = {"state": "submitted", "attempts": "2", "attempt_status:2": "200"}
    unknown = judged(entry, attempt(), attempt())
    known = judged({**entry, "attempt_status:1": "200"}, attempt(), attempt())

    assert (unknown.is_good, unknown.repeated, unknown.twice) == (True, 1, 0)
    assert (known.is_good, known.repeated, known.twice) == (False, 0, 1)


def test_a_delivery_that_could_not_be_sent_fails_its_row_and_is_in_the_table():
    row = Row("a fault", runs=3, unsent=2)

    assert not row.is_good
    assert "| a fault | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 0.0 s |" in table([row])
