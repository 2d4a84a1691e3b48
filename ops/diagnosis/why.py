"""Diagnosis of a run for `toolworker runs why`: its reason, facts and next commands."""

from collections.abc import Mapping

from ledger.admin import Place
from ops.diagnosis import missing_outputs
from ops.diagnosis.calls import calls_of
from ops.diagnosis.observations import Observations, waits_for_calls
from ops.diagnosis.reasons import Diagnosis, Facts, is_overdue, last_attempt
from ops.diagnosis.timeline import when


def diagnose(key: str, entry: Mapping[str, str], seen: Observations) -> Diagnosis:
    """
    Why a run has not ended, or how it did.

    Args:
        entry: Every field that the ledger has of the run.
    """
    if entry["state"] == "submitted":
        return _done(key, entry)
    if entry["state"] == "dead":
        return _dead(key, entry)
    if int(entry.get("lease_until", 0)) > seen.place.now_ms:
        return _posting(key, entry)
    if waits_for_calls(entry, seen.place.now_ms):
        return missing_outputs.diagnose_calls(key, entry, seen)
    return _waits_for_genesys(key, entry, seen)


def _done(key: str, entry: Mapping[str, str]) -> Diagnosis:
    failed = [call for call in calls_of(entry, None) if call.code not in ("ok", "")]
    last = last_attempt(entry)
    sentence = f"submitted at {when(entry['ended_at'])}, attempt {entry['attempts']}"
    facts: Facts = {"calls": int(entry["calls"]), "last_attempt": last}
    if failed:
        endings = "; ".join(call.ending for call in failed)
        sentence += f"; {len(failed)} of {entry['calls']} calls ended in an error: {endings}"
        facts["error_outputs"] = [call.as_fact() for call in failed]
    unanswered = int(entry["calls"]) - int(entry["outputs"])
    if unanswered:
        sentence += f"; {unanswered} had no output at answer-by"
    return Diagnosis("DONE", sentence, facts, (f"toolworker runs show {key}",))


_DEAD_ADVICE = {
    "rejected": "Genesys refused it for good",
    "expired": "it could not be submitted before it expired",
    "unconfirmed": "an attempt may have arrived, and no later one was confirmed",
}


def _dead(key: str, entry: Mapping[str, str]) -> Diagnosis:
    reason, last = entry["reason"], last_attempt(entry)
    sentence = f"dead letter since {when(entry['ended_at'])}: {_DEAD_ADVICE.get(reason, reason)}"
    if last and last.get("error"):
        sentence += f". {last['error']}"
    facts = {"reason": reason, "attempts": int(entry.get("attempts", 0)), "last_attempt": last}
    mode = "submission" if "body" in entry else "full"
    replay = f"toolworker runs replay {key} --mode {mode}"
    look = f"toolworker runs show {key}" + (" --body" if "body" in entry else "")
    return Diagnosis("DEAD", sentence, facts, (look, replay))


def _posting(key: str, entry: Mapping[str, str]) -> Diagnosis:
    attempt = entry["attempts"]
    at = when(entry[f"attempt_at:{attempt}"])
    sender = entry.get("lease_holder", "?")
    until = when(entry["lease_until"])
    facts = {"attempt": int(attempt), "since": at, "sender": sender, "lease_until": until}
    sentence = f"attempt {attempt} to submit it is under way since {at}, sent by {sender}"
    return Diagnosis("RUNNING", sentence, facts, (f"toolworker runs why {key}",))


def _waits_for_genesys(key: str, entry: Mapping[str, str], seen: Observations) -> Diagnosis:
    place, status = seen.place, seen.genesys_status
    last = last_attempt(entry)
    next_at = int(entry.get("next_attempt_at", 0))
    facts: Facts = {"attempts": int(entry.get("attempts", 0)), "last_attempt": last}
    facts["expires_at"] = when(entry["expires_at"])
    again = (f"toolworker runs why {key}",)
    if status is not None:
        facts["posts_last_minute"] = status.sent
        facts["failures_in_a_row"] = status.failures
    if is_overdue(place):
        due_at = when(place.due_at or 0)
        sentence = f"it is due since {due_at}, and no reconciler is running"
        start = ("docker compose up -d reconciler", "docker compose logs --tail 50 reconciler")
        return Diagnosis("ORPHANED", sentence, {**facts, "due_at": due_at}, start)
    if status is not None and status.is_circuit_open:
        sentence = (
            f"Genesys is down ({status.failures} POSTs failed in a row); one POST at a time "
            f"probes whether it is up again, the next in {status.wait_s:.0f} s"
        )
        return Diagnosis("CIRCUIT_OPEN", sentence + _answered(last), facts, again)
    if next_at > place.now_ms and last and last.get("status") == 429:
        sentence = f"Genesys answered 429; the next attempt is at {when(next_at)}"
        return Diagnosis("RATE_LIMITED", sentence, {**facts, "until": when(next_at)}, again)
    if status is not None and status.why in ("throttled", "rate") and next_at <= place.now_ms:
        return _rate_limited(status.why, status.wait_s, facts, again, place)
    if status is not None and status.token_error:
        sentence = f"there is no token: {status.token_error}"
        facts = {**facts, "token_asked_again_in_s": round(status.token_wait_s, 1)}
        return Diagnosis("RETRYING", sentence, facts, ("toolworker doctor --token", *again))
    if next_at > place.now_ms:
        sentence = f"attempt {int(entry['attempts']) + 1} is at {when(next_at)}{_answered(last)}"
        return Diagnosis("RETRYING", sentence, {**facts, "next_at": when(next_at)}, again)
    if entry.get("is_posting") == "1":
        sentence = "its sender ended in the middle of a POST; a reconciler repeats it byte-equal"
        return Diagnosis("ORPHANED", sentence, facts, again)
    return Diagnosis("RUNNING", "its submission is about to start", facts, again)


def _rate_limited(
    why: str, wait_s: float, facts: Facts, again: tuple[str, ...], place: Place
) -> Diagnosis:
    until = when(place.now_ms + wait_s * 1000)
    if why == "rate":
        sentence = f"GENESYS_REQUESTS_PER_MINUTE are used up; the next POST may go at {until}"
    else:
        sentence = f"Genesys answered 429; nothing is sent until {until}"
    if place.turn_after:
        sentence += f"; {place.turn_after} runs are before it"
    return Diagnosis("RATE_LIMITED", sentence, {**facts, "until": until}, again)


def _answered(last: Facts | None) -> str:
    if not last:
        return ""
    outcome = last.get("status") or last.get("error") or "no outcome"
    return f"; attempt {last['attempt']} ended with {outcome}"
