"""Submit a run once: read its outputs, claim the POST, send it, record how it ended."""

import time
from dataclasses import dataclass
from typing import Any

import backoff

from db.errors import ToolError
from db.outputs import error_output, fit
from genesys.client import Client, Permit
from genesys.errors import GenesysError, GenesysUnavailable, Held, Rejected
from genesys.rules import rule_for
from genesys.types import ToolOutput
from ledger import Ledger
from ledger.errors import LedgerUnavailable
from ledger.owners import new_owner_id
from ledger.values import Claim, Outputs
from runtime import logs, metrics
from runtime.trace_context import RunTrace

IN_PLACE_S = 2.0
"""Waits between attempts in place, all together; for a longer wait the run goes to the ledger."""
LEASE_SLACK_S = 2.0
"""Longest time between claim and POST: a lease lasts 12 s, a POST 10 s."""
FINISH_S = 20.0
"""How long recording a 2xx is retried while the ledger is down, within the message's time limit: a
submission in place has 20 s in all, a `submit` that is a message 40 s."""
_FIRST_WAIT_S = 0.25
_FIRST_DELAY_S = 1.0

_log = logs.get("submission")


def submit_run(ledger: Ledger, client: Client, key: str, generation: int) -> str:
    """
    Send the run's outputs if it is time, Genesys takes a POST now, and no other process sends them.

    Safe to call as often as you like; it never waits for the rate limit.

    Returns:
        What happened: "submitted", "postponed", "dead", "queued" or "without a token" (it is in the
        send queue), or why there was nothing to do ("gone", "held", "waiting", "incomplete").

    Raises:
        LedgerUnavailable: Nothing is lost; the run is due again.
    """
    owner = new_owner_id()
    while True:
        found = ledger.outputs(key, generation)
        if found is None:
            return "gone"
        logs.bind(trace_id=found.trace.trace_id)
        # before the claim, which freezes the outputs and counts an attempt
        try:
            permit = client.permit()
        except Held as held:
            word: str = ledger.park(key, generation, str(held))
            if word == "queued":
                _log.info("run.queued", run_id=found.run_id, key=key, why=str(held))
                word = "without a token" if held.is_for_token else word
        else:
            body = found.body or _encode(client, found)
            since, ids = time.monotonic(), (key, generation, found.run_id)
            claim = ledger.claim(key, generation, body, seen=found.count, owner=owner)
            if isinstance(claim, Claim):
                if found.body is None:  # this claim froze it, once for all attempts
                    metrics.count("calls_unanswered", found.outputs.count(None))
                return _Sender(ledger, client, *ids, claim, permit, since, found.trace).send(body)
            client.give_back(permit)
            word = claim
        if word == "expired":
            reason = ledger.bury(key, generation, "expired")
            if reason is None:
                return "gone"
            _log.error("run.dead", run_id=found.run_id, key=key, reason=reason)
            return "dead"
        if word != "changed":
            return word


def _encode(client: Client, found: Outputs) -> bytes:
    """All outputs in call order, cut to what one submission may hold."""
    texts = [
        output or (_NO_WORKER if index in found.unstarted else _NO_ANSWER_IN_TIME)
        for index, output in enumerate(found.outputs)
    ]
    fitting = fit(texts, client.room(found.call_ids))
    pairs = zip(found.call_ids, fitting, strict=True)
    return client.encode([ToolOutput(tool_call_id=call_id, output=text) for call_id, text in pairs])


@dataclass
class _Sender:
    """One claim: its attempts in place, and how they end."""

    ledger: Ledger
    client: Client
    key: str
    generation: int
    run_id: str
    claim: Claim
    permit: Permit
    since: float
    """Monotonic, before the claim was sent: the lease began later, and its reply came later yet."""
    trace: RunTrace

    def __post_init__(self) -> None:
        self.attempt = self.claim.attempt
        self.may_have_arrived = self.claim.is_repeat

    def send(self, body: bytes) -> str:
        """Send *body*, again in place if that may help soon, and record how it ended."""
        if time.monotonic() - self.since > LEASE_SLACK_S:
            self.client.give_back(self.permit)
            return self._return_lease({}, delay_s=0.0, is_unknown=False)
        name = f"{self.key}.{self.generation}" if self.generation else self.key
        waits, until = backoff.expo(factor=_FIRST_WAIT_S), time.monotonic() + IN_PLACE_S
        next(waits)  # backoff 2.2 yields nothing first
        while True:
            started = time.monotonic()
            try:
                receipt = self.client.post(
                    self.run_id,
                    body,
                    idempotency_key=name,
                    permit=self.permit,
                    traceparent=self.trace.traceparent("attempt", self.attempt),
                )
            except Rejected as error:
                return self._bury(error, _outcome(error, started))
            except GenesysUnavailable as error:
                outcome = _outcome(error, started)
                wait_s = max(error.retry_after_s or 0.0, backoff.full_jitter(next(waits)))
                is_soon = wait_s <= IN_PLACE_S / 2 and time.monotonic() + wait_s < until
                if self._is_last(error) or not is_soon:
                    return self._postpone(error, outcome)
                time.sleep(wait_s)
                if not self._begin_another(error, outcome):
                    return self._postpone(error, outcome)
                continue
            outcome = {"status": receipt.status, "correlation_id": receipt.correlation_id}
            self._finish({**outcome, "took_ms": receipt.took_ms})
            _log.info("run.submitted", **self._ids(), **outcome, took_ms=receipt.took_ms)
            return "submitted"

    # no other process knows of the 2xx: while the ledger is down, the run would be sent again
    @backoff.on_exception(
        backoff.constant, LedgerUnavailable, interval=0.2, max_time=FINISH_S, logger=None
    )
    def _finish(self, outcome: dict[str, Any]) -> None:
        self.ledger.finish(self.key, self.generation, outcome)

    def _is_last(self, error: GenesysUnavailable) -> bool:
        return error.most_attempts is not None and self.attempt >= error.most_attempts

    def _begin_another(self, error: GenesysUnavailable, outcome: dict[str, Any]) -> bool:
        """Record the failed attempt and renew the lease, if one more POST may go now."""
        try:
            self.permit = self.client.permit()
        except Held:
            return False
        self.may_have_arrived |= error.is_unknown
        run = (self.key, self.generation, self.claim, outcome)
        if not self.ledger.renew(*run, attempt=self.attempt, is_unknown=error.is_unknown):
            self.client.give_back(self.permit)
            return False
        _log.warning("run.retried", **self._ids(), **_shown(outcome))
        self.attempt += 1
        return True

    def _postpone(self, error: GenesysUnavailable, outcome: dict[str, Any]) -> str:
        """Return the lease for an attempt later on, unless there can be none."""
        retry_after_s = error.retry_after_s
        left_s = self.claim.expires_in_ms / 1000 - (time.monotonic() - self.since)
        if self._is_last(error):
            advice = rule_for(error.status).advice if error.status else ""
            sentence = f"{error} {self.attempt} attempts were made. {advice}".rstrip()
            may_have_arrived = self.may_have_arrived or error.is_unknown
            reason = "unconfirmed" if may_have_arrived else "rejected"
            return self._end(reason, {**outcome, "error": sentence})
        if retry_after_s is not None and retry_after_s >= left_s:
            sentence = f"{error} The wait before a retry ({retry_after_s:.0f} s) outlasts the run."
            return self._end("expired", {**outcome, "error": sentence})
        # our own wait counts claims and not attempts: those in place come within two seconds
        own_s = self.client.retry_delay_s(self.claim.fence - 1)
        # "Retry-After: 0", or a date that is past, is shorter than our own first delay
        delay_s = retry_after_s if retry_after_s and retry_after_s >= _FIRST_DELAY_S else own_s
        _log.warning("run.postponed", **self._ids(), **_shown(outcome), delay_s=round(delay_s, 1))
        return self._return_lease(outcome, delay_s=delay_s, is_unknown=error.is_unknown)

    def _return_lease(self, outcome: dict[str, Any], *, delay_s: float, is_unknown: bool) -> str:
        run = (self.key, self.generation, self.claim, outcome)
        self.ledger.postpone(*run, delay_ms=int(delay_s * 1000), is_unknown=is_unknown)
        return "postponed"

    def _bury(self, error: Rejected, outcome: dict[str, Any]) -> str:
        is_explained = error.status and rule_for(error.status).is_explained_by_arrival
        lost_track = self.may_have_arrived and is_explained
        return self._end("unconfirmed" if lost_track else "rejected", outcome)

    def _end(self, reason: str, outcome: dict[str, Any]) -> str:
        written = self.ledger.bury(
            self.key, self.generation, reason, claim=self.claim, outcome=outcome
        )
        if written is None:  # another sender has ended the run, or will
            return "gone"
        _log.error("run.dead", **self._ids(), **_shown(outcome), reason=written)
        return "dead"

    def _ids(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "key": self.key, "attempt": self.attempt}


def _outcome(error: GenesysError, started: float) -> dict[str, Any]:
    return {
        "status": error.status, "code": error.code, "correlation_id": error.correlation_id,
        "error": str(error), "took_ms": round((time.monotonic() - started) * 1000),
    }  # fmt: skip


def _shown(outcome: dict[str, Any]) -> dict[str, Any]:
    """The outcome without Genesys' sentence, which may quote the body and stays in the ledger."""
    return {name: value for name, value in outcome.items() if name != "error"}


_NO_ANSWER_IN_TIME = error_output(
    ToolError(
        "timeout",
        "The tool did not answer in time. Tell the caller, or try the same call again.",
        retryable=True,
    )
)
_NO_WORKER = error_output(
    ToolError(
        "unavailable",
        "The tool was not called in time, so nothing was looked up. Tell the caller that "
        "it takes a moment longer, and try the same call once more.",
        retryable=True,
    )
)
