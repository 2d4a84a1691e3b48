"""Diagnosis of a run whose tool outputs are missing: worker, database, lost lease, queue."""

from collections.abc import Callable, Mapping

from ops.diagnosis.calls import Call, calls_of
from ops.diagnosis.observations import Observations
from ops.diagnosis.reasons import Diagnosis, Facts, is_overdue
from ops.diagnosis.timeline import when


def diagnose_calls(key: str, entry: Mapping[str, str], seen: Observations) -> Diagnosis:
    """The first cause that applies, the most general first."""
    calls = [call for call in calls_of(entry, seen) if not call.code]
    facts: Facts = {
        "missing_calls": [call.as_fact() for call in calls],
        "workers": None if seen.workers is None else [w.node for w in seen.workers],
        "messages_in_queue": seen.queue_length,
        "answer_by": when(entry["answer_by"]),
    }
    causes: tuple[Callable[..., Diagnosis | None], ...] = (
        _no_worker,
        _waits_for_database,
        _orphaned,
        _running,
    )
    for cause in causes:
        found = cause(key, calls, seen, facts)
        if found:
            return found
    return _queued(key, calls, seen, facts)


def _no_worker(key: str, calls: list[Call], seen: Observations, facts: Facts) -> Diagnosis | None:
    if seen.workers is None or seen.workers:
        return None
    sentence = f"no worker answers; {_count(calls)} not been started"
    lost = [call for call in calls if call.state == "lost"]
    if lost:
        sentence += f"; {lost[0].title} was leased by {lost[0].owner}, which has ended"
    start = "docker compose up -d worker"
    return Diagnosis("NO_WORKER", sentence, facts, (start, "docker compose logs --tail 50 worker"))


def _waits_for_database(
    key: str, calls: list[Call], seen: Observations, facts: Facts
) -> Diagnosis | None:
    for call in calls:
        if call.unavailable:
            sentence = f"{call.title} waits for the database {call.database}. {call.unavailable}"
            return Diagnosis(
                "WAITING_ON_DATABASE",
                sentence,
                {**facts, "database": call.database, "error": call.unavailable},
                ("toolworker doctor", f"toolworker runs why {key}"),
            )
    for call in calls:
        if call.blocked:
            return _blocked(call, facts)
    return None


def _blocked(call: Call, facts: Facts) -> Diagnosis:
    lock = call.blocked
    assert lock is not None  # noqa: S101  (checked by the caller)
    blocker = f"backend {lock.blocker_pid} (role {lock.blocker_role})"
    sentence = (
        f"{call.title} waits {lock.waits_ms / 1000:.1f} s for a lock"
        f"{f' on {lock.relation}' if lock.relation else ''} in the database {call.database}; "
        f"{blocker} holds it"
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


def _orphaned(key: str, calls: list[Call], seen: Observations, facts: Facts) -> Diagnosis | None:
    lost = [call for call in calls if call.state == "lost"]
    if not lost:
        return None
    first = min(lost, key=lambda call: call.lease_until)
    due_at = seen.place.due_at or first.lease_until
    sentence = (
        f"{first.title} was leased by {first.owner}, which has ended; "
        f"the reconciler publishes it again at {when(due_at)}"
    )
    facts = {**facts, "owner": first.owner, "due_at": when(due_at)}
    return Diagnosis("ORPHANED", sentence, facts, (f"toolworker runs why {key}",))


def _running(key: str, calls: list[Call], seen: Observations, facts: Facts) -> Diagnosis | None:
    busy = [call for call in calls if call.state == "leased"]
    if not busy:
        return None
    first = busy[0]
    sentence = f"{first.title} runs since {when(first.started_at)} on {first.worker or first.owner}"
    if first.tries > 1:
        sentence += f", try {first.tries}"
    if len(busy) > 1:
        sentence += f", and {len(busy) - 1} more"
    return Diagnosis("RUNNING", sentence, facts, (f"toolworker runs why {key}",))


def _queued(key: str, calls: list[Call], seen: Observations, facts: Facts) -> Diagnosis:
    place = seen.place
    if seen.workers is None:
        sentence = "the broker does not answer, so no message reaches a worker"
        return Diagnosis("QUEUED", sentence, facts, ("toolworker doctor",))
    slots = sum(worker.slots for worker in seen.workers)
    if place.begins_after is None:
        where = f"{_count(calls)} not been started, with {seen.queue_length} messages in the queue"
    else:
        where = f"no worker has begun it; {place.begins_after} runs are before it"
        facts = {**facts, "runs_before": place.begins_after}
    sentence = f"{where}, for {len(seen.workers)} workers with {slots} slots"
    command = f"docker compose up -d --scale worker={2 * max(1, len(seen.workers))}"
    if not place.has_message:
        sentence += "; a reconciler gives it a message when fewer wait"
    elif not seen.queue_length:
        sentence += "; no message is in a queue: its own was lost, or a worker has just taken it"
    if is_overdue(place):
        sentence += "; no reconciler is running"
        command = "docker compose up -d reconciler"
    return Diagnosis("QUEUED", sentence, {**facts, "slots": slots}, (command,))


def _count(calls: list[Call]) -> str:
    return f"{len(calls)} call{' has' if len(calls) == 1 else 's have'}"
