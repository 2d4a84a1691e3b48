"""When a submission is sent again: in place, by the ledger later, or never."""

import pytest
from structlog.testing import capture_logs

from genesys.errors import GenesysUnavailable
from genesys.pacing.rate_limiter import Slot
from runtime.trace_context import run_trace
from tests.submission import TRACEPARENT, answer, lost

NOW_MS = 1_700_000_000_000


def test_what_may_pass_soon_is_sent_again_in_place_with_the_same_bytes(runs):
    key = runs.accept()
    runs.genesys.took_s = 0.1
    with capture_logs() as lines:
        answers = [answer(503, code="busy", message="A row."), lost, answer(200)]
        assert runs.submit(key, *answers) == "submitted"
    assert runs.clock.sleeps_s == [0.25, 0.5]
    assert len({(url, body) for url, body, _ in runs.genesys.posts}) == 1
    assert [headers["Idempotency-Key"] for _, _, headers in runs.genesys.posts] == [key] * 3
    trace = run_trace(key, TRACEPARENT)
    assert [headers["traceparent"] for _, _, headers in runs.genesys.posts] == [
        trace.traceparent("attempt", attempt) for attempt in (1, 2, 3)
    ]
    entry = runs.entry(key)
    assert [entry[f"attempt_at:{attempt}"] for attempt in (1, 2, 3)] == [
        "1700000000000", "1700000000350", "1700000000950",
    ]  # fmt: skip
    assert entry["attempt_status:1"] == "503"
    assert "attempt_status:2" not in entry
    assert [entry[f"attempt_took_ms:{attempt}"] for attempt in (1, 2, 3)] == ["100"] * 3
    assert entry["is_unknown"] == "1"
    ids = {"run_id": "r-1", "key": key}
    assert lines == [
        {"event": "run.retried", "log_level": "warning", **ids, "attempt": 1, "status": 503,
         "code": "busy", "correlation_id": "id-503", "took_ms": 100},
        {"event": "run.retried", "log_level": "warning", **ids, "attempt": 2, "status": None,
         "code": None, "correlation_id": None, "took_ms": 100},
        {"event": "run.submitted", "log_level": "info", **ids, "attempt": 3, "status": 200,
         "correlation_id": "id-200", "took_ms": 100},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("took_s", "sleeps_s"),
    [
        (0.0, [0.25, 0.5, 1.0]),  # the fourth wait would be 2 s
        (0.24, [0.25, 0.5]),  # 1.47 s, and then a wait of 1 s
        (0.5, [0.25, 0.5]),
        (1.0, [0.25]),
        (1.5, [0.25]),
        (1.75, []),  # 2 s are over with the wait
        (10.0, []),
    ],
)
def test_waits_in_place_take_less_than_two_seconds_with_their_posts(runs, took_s, sleeps_s):
    key = runs.accept()
    runs.genesys.took_s = took_s
    with capture_logs() as lines:
        assert runs.submit(key, *[answer(503)] * 9) == "postponed"
    assert runs.clock.sleeps_s == sleeps_s
    entry = runs.entry(key)
    assert int(entry["attempts"]) == len(runs.genesys.posts) == len(sleeps_s) + 1
    assert runs.next_attempt_in_ms(key) == 1_000
    assert "lease_until" not in entry
    assert "is_unknown" not in entry
    assert lines[-1] == {
        "event": "run.postponed", "log_level": "warning", "run_id": "r-1", "key": key,
        "attempt": len(sleeps_s) + 1, "status": 503, "code": None, "correlation_id": "id-503",
        "took_ms": round(took_s * 1000), "delay_s": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("retry_after", "sleeps_s", "delay_ms"),
    [
        (None, [0.25, 0.5, 1.0], 2_000),
        (0, [0.25, 0.5, 1.0], 2_000),
        (1, [1.0], 1_000),
        (2, [], 2_000),
        (90, [], 90_000),
    ],
)
def test_of_a_second_claim_the_own_wait_is_two_seconds_and_a_retry_after_is_kept_to(
    runs, retry_after, sleeps_s, delay_ms
):
    key = runs.accept()
    assert runs.submit(key, answer(503, retry_after=5)) == "postponed"
    assert runs.next_attempt_in_ms(key) == 5_000
    assert runs.submit(key) == "waiting"
    assert runs.limiter.taken == 1  # that of the POST
    runs.clock.ms += 5_000
    assert runs.submit(key, *[answer(503, retry_after=retry_after)] * 9) == "postponed"
    assert runs.clock.sleeps_s == sleeps_s
    assert runs.next_attempt_in_ms(key) == delay_ms


def test_a_wait_of_more_than_a_second_is_the_ledgers(runs):
    key = runs.accept()
    assert runs.submit(key, GenesysUnavailable("busy", retry_after_s=1.5)) == "postponed"
    assert (runs.clock.sleeps_s, runs.next_attempt_in_ms(key)) == ([], 1_500)


def test_an_attempt_that_may_have_arrived_is_known_to_the_next_sender(runs):
    key = runs.accept()
    runs.genesys.took_s = 10.0
    assert runs.submit(key, lost) == "postponed"
    assert runs.entry(key)["is_unknown"] == "1"
    assert runs.entry(key)["attempt_error:1"] == "no answer came"


@pytest.mark.parametrize(
    ("took_s", "retry_after", "word"),
    [
        (0, 599, "postponed"), (0, 600, "dead"), (0.5, 599, "postponed"), (0.5, 600, "dead"),
        (5, 594, "postponed"), (5, 595, "dead"),
    ],
)  # fmt: skip
def test_a_wait_that_outlasts_the_run_ends_it_at_once(runs, took_s, retry_after, word):
    key = runs.accept()
    runs.genesys.took_s = took_s
    assert runs.submit(key, answer(429, retry_after=retry_after)) == word
    entry = runs.entry(key)
    if word == "dead":
        assert entry["reason"] == "expired"
        assert entry["attempt_status:1"] == "429"
        assert entry["attempt_error:1"] == (
            f"Genesys answered 429. The wait before a retry ({retry_after} s) outlasts the run."
        )
    else:
        assert int(entry["next_attempt_at"]) == NOW_MS + (took_s + retry_after) * 1000


@pytest.mark.parametrize("answers", [[answer(503)], [lost]])
def test_a_retry_in_place_that_may_not_go_is_no_attempt(runs, answers):
    key = runs.accept()
    runs.limiter.slots[:] = [Slot(0.0), Slot(5.0, "circuit")]
    assert runs.submit(key, *answers) == "postponed"
    entry = runs.entry(key)
    assert (entry["attempts"], entry.get("is_unknown")) == ("1", "1" if answers == [lost] else None)
    assert runs.next_attempt_in_ms(key) == 1_000
    assert runs.limiter.taken == 1


def test_a_sender_whose_lease_was_taken_over_stops_and_changes_nothing(runs):
    key = runs.accept()

    def answer_after_another_claim():
        runs.redis.hset(f"tw:run:{key}", "lease_until", 0)
        (_, body, _) = runs.genesys.posts[0]
        assert runs.ledger.claim(key, 0, body, seen=1, owner="another").fence == 2
        return answer(503)

    assert runs.submit(key, answer_after_another_claim) == "postponed"
    entry = runs.entry(key)
    assert (entry["lease_holder"], entry["attempts"]) == ("another", "2")
    assert "next_attempt_at" not in entry
    assert len(runs.genesys.posts) == 1
    assert runs.limiter.taken == 1  # the place of the retry was given back


@pytest.mark.parametrize(("late_ms", "word"), [(2_000, "submitted"), (2_001, "postponed")])
def test_a_claim_that_was_longer_under_way_than_its_slack_is_given_back_unused(
    runs, monkeypatch, late_ms, word
):
    key, claim = runs.accept(), runs.ledger.claim

    def claim_slowly(*arguments, **named):
        found = claim(*arguments, **named)
        runs.clock.ms += late_ms
        return found

    monkeypatch.setattr(runs.ledger, "claim", claim_slowly)
    assert runs.submit(key, answer(200)) == word
    if word == "postponed":
        assert (runs.genesys.posts, runs.limiter.taken) == ([], 0)
        entry = runs.entry(key)
        assert entry["next_attempt_at"] == str(NOW_MS + 2_001)
        assert not {"is_unknown", "is_posting", "lease_until"} & entry.keys()
