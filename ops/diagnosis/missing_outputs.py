"""Why a run waits for its tool calls: no worker, a database, a lost worker, the queue."""

from collections.abc import Callable, Mapping

from ops.diagnosis.calls import Call, calls_of
from ops.diagnosis.observations import Circumstances
from ops.diagnosis.reasons import Diagnosis, Facts, is_overdue, when


def waits_for_calls(key: str, entry: Mapping[str, str], around: Circumstances) -> Diagnosis:
    """What keeps the calls, the worst first: what stops everything explains what it stops."""
    calls = [call for call in calls_of(entry, around) if not call.code]
    facts: Facts = {
        "missing_calls": [call.as_fact() for call in calls],
        "workers": None if around.workers is None else [w.node for w in around.workers],
        "messages_in_queue": around.queue_length,
        "answer_by": when(entry["answer_by"]),
    }
    ways: tuple[Callable[..., Diagnosis | None], ...] = (
        _no_worker,
        _waits_for_database,
        _orphaned,
        _running,
    )
    for way in ways:
        found = way(key, calls, around, facts)
        if found:
            return found
    return _queued(key, calls, around, facts)


def _no_worker(
    key: str, calls: list[Call], around: Circumstances, facts: Facts
) -> Diagnosis | None:
    if around.workers is None or around.workers:
        return None
    sentence = f"no worker answers; {_count(calls)} to be asked"
    lost = [call for call in calls if call.state == "lost"]
    if lost:
        sentence += f"; {lost[0].title} was in the hands of {lost[0].holder}, which is gone"
    start = "docker compose up -d worker"
    return Diagnosis("NO_WORKER", sentence, facts, (start, "docker compose logs --tail 50 worker"))


def _waits_for_database(
    key: str, calls: list[Call], around: Circumstances, facts: Facts
) -> Diagnosis | None:
    for call in calls:
        if call.away:
            said = f"{call.title} waits for the database {call.database}. {call.away}"
            return Diagnosis(
                "WAITING_ON_DATABASE",
                said,
                {**facts, "database": call.database, "error": call.away},
                ("toolworker doctor", f"toolworker runs why {key}"),
            )
    for call in calls:
        if call.blocked:
            return _blocked(call, facts)
    return None


def _blocked(call: Call, facts: Facts) -> Diagnosis:
    lock = call.blocked
    assert lock is not None  # noqa: S101  (asked by the caller)
    who = f"backend {lock.blocker_pid} (role {lock.blocker_role})"
    sentence = (
        f"{call.title} waits {lock.waits_ms / 1000:.1f} s for a lock"
        f"{f' on {lock.relation}' if lock.relation else ''} in the database {call.database}; "
        f"{who} is in front of it"
    )
    facts = {
        **facts,
        "database": call.database,
        "backend": lock.pid,
        "relation": lock.relation,
        "waits_ms": lock.waits_ms,
        "blocked_by": lock.blocker_pid,
        "blocked_by_role": lock.blocker_role,
        "blocked_by_application": lock.blocker_application,
    }
    look = f'psql -c "TABLE pg_stat_activity" | grep {lock.blocker_pid}'
    end = f'psql -c "SELECT pg_terminate_backend({lock.blocker_pid})"'
    return Diagnosis("WAITING_ON_DATABASE", sentence, facts, (look, end))


def _orphaned(key: str, calls: list[Call], around: Circumstances, facts: Facts) -> Diagnosis | None:
    lost = [call for call in calls if call.state == "lost"]
    if not lost:
        return None
    first = min(lost, key=lambda call: call.busy_until)
    due_at = around.place.due_at or first.busy_until
    sentence = (
        f"{first.title} was in the hands of {first.holder}, which is gone; "
        f"the reconciler gives it to another worker at {when(due_at)}"
    )
    facts = {**facts, "holder": first.holder, "due_at": when(due_at)}
    return Diagnosis("ORPHANED", sentence, facts, (f"toolworker runs why {key}",))


def _running(key: str, calls: list[Call], around: Circumstances, facts: Facts) -> Diagnosis | None:
    busy = [call for call in calls if call.state == "in hand"]
    if not busy:
        return None
    first = busy[0]
    sentence = (
        f"{first.title} runs since {when(first.started_at)} on {first.worker or first.holder}"
    )
    if first.tries > 1:
        sentence += f", try {first.tries}"
    if len(busy) > 1:
        sentence += f", and {len(busy) - 1} more"
    return Diagnosis("RUNNING", sentence, facts, (f"toolworker runs why {key}",))


def _queued(key: str, calls: list[Call], around: Circumstances, facts: Facts) -> Diagnosis:
    place = around.place
    if around.workers is None:
        sentence = "the broker does not answer, so no worker can be given anything"
        return Diagnosis("QUEUED", sentence, facts, ("toolworker doctor",))
    slots = sum(worker.slots for worker in around.workers)
    if place.begins_after is None:
        where = f"{_count(calls)} to be asked, with {around.queue_length} messages in the queue"
    else:
        where = f"no worker has begun it; {place.begins_after} runs are before it"
        facts = {**facts, "runs_before": place.begins_after}
    sentence = f"{where}, for {len(around.workers)} workers with {slots} slots"
    if is_overdue(place):
        sentence += "; no reconciler looks after it"
    more = f"docker compose up -d --scale worker={2 * max(1, len(around.workers))}"
    return Diagnosis("QUEUED", sentence, {**facts, "slots": slots}, (more,))


def _count(calls: list[Call]) -> str:
    return f"{len(calls)} call{' has' if len(calls) == 1 else 's have'} yet"
