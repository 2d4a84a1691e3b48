"""The reason that `runs why` gives, for observations that are written out."""

from genesys.pacing.status import GenesysStatus
from ledger.admin import Place
from ops.diagnosis.observations import Observations
from ops.diagnosis.reasons import EXIT_CODES
from ops.diagnosis.why import diagnose
from tasks.fleet import Worker

NOW = 1_800_000_000_000
WORKER = Worker("worker@a", "a", (11, 12))
OPEN = {
    "run_id": "r",
    "state": "running",
    "calls": "1",
    "outputs": "0",
    "accepted_at": str(NOW - 1000),
    "begun_at": str(NOW - 900),
    "answer_by": str(NOW + 29_000),
    "expires_at": str(NOW + 599_000),
    "id:0": "call-1",
    "name:0": "get_order",
}
HELD = {
    **OPEN,
    "holder:0": "a:11:3",
    "busy_until:0": str(NOW + 5000),
    "started_at:0": str(NOW - 500),
    "tries:0": "1",
}
COMPLETE = {**OPEN, "outputs": "1", "output:0": "{}", "code:0": "ok"}
FAILED = {
    **COMPLETE,
    "state": "submitting",
    "body": "{}",
    "attempts": "1",
    "attempt_at:1": str(NOW - 400),
    "attempt_status:1": "503",
    "attempt_took_ms:1": "12",
    "next_attempt_at": str(NOW + 2000),
}


def reason(
    entry, *, due_in_ms=1000, begins_after=None, turn_after=None, has_message=True, **observed
):
    place = Place(NOW, NOW + due_in_ms, begins_after, turn_after, has_message)
    return diagnose("key", entry, Observations(place, **{"workers": [WORKER], **observed}))


def test_a_run_that_no_worker_has_begun_is_queued_behind_those_before_it():
    said = reason({**OPEN, "state": "accepted"}, begins_after=7, queue_length=9)
    assert said.reason == "QUEUED"
    assert said.sentence == (
        "no worker has begun it; 7 runs are before it, for 1 workers with 2 slots"
    )
    assert said.facts["messages_in_queue"] == 9
    assert said.next == ("docker compose up -d --scale worker=2",)


def test_a_leased_call_runs_on_the_worker_whose_process_owns_it():
    said = reason(HELD)
    assert said.reason == "RUNNING"
    assert said.sentence.endswith(" on worker@a")
    assert said.facts["missing_calls"][0]["tool_call_id"] == "call-1"


def test_a_process_of_the_same_pid_on_another_host_is_not_its_owner():
    elsewhere = Worker("worker@b", "b", (11, 12))
    assert reason(HELD, workers=[elsewhere]).reason == "ORPHANED"


def test_a_database_that_is_down_explains_more_than_the_call_that_waits_for_it():
    said = reason(HELD, unavailable={"default": "Postgres does not answer: OperationalError"})
    assert said.reason == "WAITING_ON_DATABASE"
    # one that was never begun waits for its turn, whatever the database does
    assert reason(OPEN, unavailable={"default": "down"}).reason == "QUEUED"


def test_a_broker_that_is_down_leaves_the_workers_unknown():
    said = reason(OPEN, workers=None)
    assert (said.reason, said.next) == ("QUEUED", ("toolworker doctor",))
    assert said.facts["workers"] is None
    assert reason(HELD, workers=None).reason == "RUNNING"


def test_a_due_time_that_passed_unseen_means_that_there_is_no_reconciler():
    assert reason(FAILED, due_in_ms=-2000).reason == "RETRYING"
    said = reason(FAILED, due_in_ms=-4000)
    assert said.reason == "ORPHANED"
    assert "no reconciler" in said.sentence


def test_an_open_circuit_explains_more_than_the_next_attempt():
    assert reason(FAILED).reason == "RETRYING"
    down = GenesysStatus("circuit", 2.0, 6, 10, is_circuit_open=True)
    said = reason(FAILED, genesys_status=down)
    assert said.reason == "CIRCUIT_OPEN"
    assert "attempt 1 ended with 503" in said.sentence


def test_our_own_limit_differs_from_a_429():
    used_up = GenesysStatus("rate", 3.0, 0, 300, is_circuit_open=False)
    said = reason(COMPLETE, genesys_status=used_up, turn_after=4)
    assert said.reason == "RATE_LIMITED"
    assert said.sentence == (
        "GENESYS_REQUESTS_PER_MINUTE are used up; the next POST may go at "
        "2027-01-15 08:00:03.000; 4 runs are before it"
    )


def test_without_a_token_the_endpoints_words_are_quoted():
    none = GenesysStatus("", 0.0, 0, 0, False, "the token endpoint answered 503", 1.0)
    said = reason(COMPLETE, genesys_status=none)
    assert (said.reason, said.next[0]) == ("RETRYING", "toolworker doctor --token")
    assert "the token endpoint answered 503" in said.sentence


def test_a_post_under_way_is_running_and_one_whose_sender_died_an_orphan():
    under_way = {**FAILED, "lease_until": str(NOW + 9000), "lease_holder": "a:11:1"}
    assert reason({**under_way, "next_attempt_at": "0"}).reason == "RUNNING"
    died = {**FAILED, "lease_until": str(NOW - 1), "is_posting": "1", "next_attempt_at": "0"}
    assert reason(died).reason == "ORPHANED"


def test_a_dead_letter_without_a_body_is_replayed_in_full():
    dead = {**OPEN, "state": "dead", "reason": "expired", "ended_at": str(NOW)}
    said = reason(dead)
    assert (said.reason, EXIT_CODES[said.reason]) == ("DEAD", 4)
    assert said.next[1] == "toolworker runs replay key --mode full"


def test_a_run_without_a_message_waits_for_a_reconciler_and_has_lost_nothing():
    accepted = {**OPEN, "state": "accepted"}
    waits = reason(accepted, begins_after=700, queue_length=0, has_message=False)
    assert waits.sentence == (
        "no worker has begun it; 700 runs are before it, for 1 workers with 2 slots; a reconciler "
        "gives it a message when fewer wait"
    )


def test_a_run_whose_message_is_in_no_queue_may_have_lost_it():
    accepted = {**OPEN, "state": "accepted"}
    lost = reason(accepted, begins_after=0, queue_length=0, due_in_ms=-4000)
    assert lost.reason == "QUEUED"
    assert lost.sentence == (
        "no worker has begun it; 0 runs are before it, for 1 workers with 2 slots; no message is "
        "in a queue: its own was lost, or a worker has just taken it; no reconciler is running"
    )
    assert lost.next == ("docker compose up -d reconciler",)
