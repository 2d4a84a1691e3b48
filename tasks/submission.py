"""Submit a run once: read its outputs, claim the POST, send it, record how it ended."""

import random
import time
from typing import Any

import backoff

from db.errors import ToolError
from db.outputs import error_output, fit
from genesys.client import Client, Permit, Receipt
from genesys.errors import GenesysError, Held, Rejected
from genesys.errors import GenesysUnavailable as Unavailable
from genesys.rules import rule_for
from genesys.types import ToolOutput
from ledger import Ledger
from ledger.errors import LedgerUnavailable
from ledger.owners import new_owner_id
from ledger.values import Claim, Outputs
from runtime import logs

IN_PLACE_S = 2.0
"""Waits of a sender between its own attempts, all together; longer ones go to the ledger."""
LEASE_SLACK_S = 2.0
"""What may pass between asking for the lease and the POST: a lease has 12 s, a POST 10."""
FINISH_S = 20.0
"""How long a 2xx is kept for a ledger that is away, if its message has so long: a sender in place
has 20 s in all, a `submit` of its own 40 s."""
_FIRST_WAIT_S = 0.25
_FIRST_DELAY_S = 1.0

_log = logs.get("submission")


def submit_run(ledger: Ledger, client: Client, key: str, generation: int) -> str:
    """
    Send the run's outputs if it is time, Genesys takes a POST now, and nobody else sends them.

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
            asked = time.monotonic()
            claim = ledger.claim(key, generation, body, seen=found.count, owner=owner)
            if isinstance(claim, Claim):
                ids = (key, generation, found.run_id)
                return _Sender(ledger, client, ids, claim, permit, asked).send(body)
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
    texts = [_NO_ANSWER_IN_TIME if output is None else output for output in found.outputs]
    fitting = fit(texts, client.room(found.call_ids))
    return client.encode(
        [
            ToolOutput(tool_call_id=call_id, output=output)
            for call_id, output in zip(found.call_ids, fitting, strict=True)
        ]
    )


class _Sender:
    """One claim: its attempts in place, and how they end."""

    def __init__(
        self,
        ledger: Ledger,
        client: Client,
        ids: tuple[str, int, str],
        claim: Claim,
        permit: Permit,
        asked: float,
    ) -> None:
        self._ledger, self._client = ledger, client
        self._key, self._generation, self._run_id = ids
        self._claim, self._permit = claim, permit
        self._attempt = claim.attempt
        self._may_have_arrived = claim.is_repeat
        # the lease began after this; a reply may have been long under way
        self._claimed, self._started = asked, time.monotonic()
        self._failed: tuple[Unavailable, dict[str, Any]] | None = None
        self._is_held = False

    def send(self, body: bytes) -> str:
        """Send *body* and write down how it ended."""
        if time.monotonic() - self._claimed > LEASE_SLACK_S:
            self._client.give_back(self._permit)
            return self._give_up()
        try:
            receipt = self._send(body)
        except Unavailable as error:
            return self._postpone(error)
        except Rejected as error:
            return self._bury(error)
        outcome = {"status": receipt.status, "correlation_id": receipt.correlation_id}
        self._finish({**outcome, "took_ms": receipt.took_ms})
        _log.info("run.submitted", **self._ids(), **outcome, took_ms=receipt.took_ms)
        return "submitted"

    @backoff.on_exception(
        backoff.constant, LedgerUnavailable, interval=0.2, max_time=FINISH_S, logger=None
    )
    def _finish(self, outcome: dict[str, Any]) -> None:
        """Nobody else knows of the 2xx: while the ledger is away, the run would be sent again."""
        self._ledger.finish(self._key, self._generation, outcome)

    def _give_up(self) -> str:
        """Nothing was sent, and too little is left of the lease: another sender takes it."""
        self._ledger.postpone(
            self._key, self._generation, self._claim, {}, delay_ms=0, is_unknown=False
        )
        return "postponed"

    def _send(self, body: bytes) -> Receipt:
        name = f"{self._key}.{self._generation}" if self._generation else self._key

        @backoff.on_exception(
            backoff.runtime,
            Unavailable,
            value=self._wait_s,
            max_time=IN_PLACE_S,
            jitter=None,  # the waits are jittered where they are chosen
            giveup=self._is_for_later,
            logger=None,
        )
        def post() -> Receipt:
            if self._failed:
                self._begin_another(*self._failed)
            self._started = time.monotonic()
            try:
                return self._client.post(
                    self._run_id, body, idempotency_key=name, permit=self._permit
                )
            except Unavailable as error:
                self._failed = error, self._outcome(error)
                raise

        receipt: Receipt = post()
        return receipt

    def _wait_s(self, error: Unavailable) -> float:
        tries = self._attempt - self._claim.attempt
        own_s = random.uniform(0, _FIRST_WAIT_S * 2.0**tries)  # noqa: S311  (not for secrets)
        return max(error.retry_after_s or 0.0, own_s)

    def _is_for_later(self, error: Exception) -> bool:
        """Whether the wait is no short one, or no further attempt may go in place, or at all."""
        assert isinstance(error, Unavailable)  # noqa: S101  (backoff catches nothing else)
        is_long = (error.retry_after_s or 0) > IN_PLACE_S / 2
        return is_long or self._is_held or self._is_last(error)

    def _is_last(self, error: Unavailable) -> bool:
        return error.most_attempts is not None and self._attempt >= error.most_attempts

    def _begin_another(self, error: Unavailable, outcome: dict[str, Any]) -> None:
        """Write down the failed attempt and take the lease anew, if one more POST may go now."""
        try:
            self._permit = self._client.permit()
        except Held:
            self._is_held = True
            raise error from None  # what counts is how the attempt before it ended
        self._may_have_arrived |= error.is_unknown
        if not self._ledger.renew(
            self._key,
            self._generation,
            self._claim,
            outcome,
            attempt=self._attempt,
            is_unknown=error.is_unknown,
        ):
            self._client.give_back(self._permit)
            raise Unavailable("the lease is over", is_unknown=error.is_unknown) from error
        _log.warning("run.retried", **self._ids(), **_told(outcome))
        self._failed = None
        self._attempt += 1

    def _postpone(self, error: Unavailable) -> str:
        """Give the run back for an attempt later on, unless there can be none."""
        outcome = self._failed[1] if self._failed else self._outcome(error)
        asked_s = error.retry_after_s
        left_s = self._claim.expires_in_ms / 1000 - (time.monotonic() - self._claimed)
        if self._is_last(error):
            reason = "unconfirmed" if error.is_unknown else "rejected"
            return self._end(reason, {**outcome, "error": self._advice(error)})
        if asked_s is not None and asked_s >= left_s:
            said = f"{error} The wait it asks for ({asked_s:.0f} s) outlasts the run."
            return self._end("expired", {**outcome, "error": said})
        own_s = self._client.retry_delay_s(self._claim.fence - 1)
        # "Retry-After: 0", or a date that is past, asks for less than what spares Genesys
        # our own wait counts claims and not attempts: those in place come within two seconds
        delay_s = asked_s if asked_s and asked_s >= _FIRST_DELAY_S else own_s
        self._ledger.postpone(
            self._key,
            self._generation,
            self._claim,
            outcome,
            delay_ms=int(delay_s * 1000),
            is_unknown=error.is_unknown,
        )
        _log.warning("run.postponed", **self._ids(), **_told(outcome), delay_s=round(delay_s, 1))
        return "postponed"

    def _bury(self, error: Rejected) -> str:
        is_explained = error.status and rule_for(error.status).is_explained_by_arrival
        lost_track = self._may_have_arrived and is_explained
        return self._end("unconfirmed" if lost_track else "rejected", self._outcome(error))

    def _end(self, reason: str, outcome: dict[str, Any]) -> str:
        written = self._ledger.bury(
            self._key, self._generation, reason, claim=self._claim, outcome=outcome
        )
        if written is None:  # another sender has ended the run, or will
            return "gone"
        _log.error("run.dead", **self._ids(), **_told(outcome), reason=written)
        return "dead"

    def _advice(self, error: Unavailable) -> str:
        advice = rule_for(error.status).advice if error.status else ""
        return f"{error} {self._attempt} attempts were made. {advice}".rstrip()

    def _ids(self) -> dict[str, Any]:
        return {"run_id": self._run_id, "key": self._key, "attempt": self._attempt}

    def _outcome(self, error: GenesysError) -> dict[str, Any]:
        return {
            "status": error.status,
            "code": error.code,
            "correlation_id": error.correlation_id,
            "error": str(error),
            "took_ms": round((time.monotonic() - self._started) * 1000),
        }


def _told(outcome: dict[str, Any]) -> dict[str, Any]:
    """What of it may be logged: Genesys' sentence may quote the body, so it stays in the ledger."""
    return {name: value for name, value in outcome.items() if name != "error"}


_NO_ANSWER_IN_TIME = error_output(
    ToolError(
        "timeout",
        "The tool did not answer in time. Tell the caller, or try the same call again.",
        retryable=True,
    )
)
