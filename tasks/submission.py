"""Send what a run has, once: read the outputs, claim the POST, send it, write down how it ended."""

import itertools
import os
import random
import socket
import time
from typing import Any

import backoff

from db.errors import ToolError
from db.outputs import error_output, fit
from genesys.client import Client, Receipt
from genesys.errors import GenesysError, Rejected, Unavailable
from genesys.types import ToolOutput
from runtime import logs
from tasks.ledger import Ledger
from tasks.records import Claim, Outputs

IN_PLACE_S = 2.0
"""Waits of a sender between its own attempts, all together; longer ones go to the ledger."""
_FIRST_WAIT_S = 0.25
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 10.0
# Refusals that a first attempt which did arrive would explain.
_PROBABLY_ARRIVED = frozenset({404, 409, 422})

_log = logs.get("submission")
_sends = itertools.count()


def submit_run(ledger: Ledger, client: Client, key: str, generation: int) -> str:
    """
    Send the run's outputs if it is time and nobody else does; safe to call as often as you like.

    Returns:
        What happened: "submitted", "postponed", "dead", or why there was nothing to do ("gone",
        "held", "waiting", "incomplete").

    Raises:
        LedgerUnavailable: Nothing is lost; the run is due again.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{next(_sends)}"
    while True:
        found = ledger.outputs(key, generation)
        if found is None:
            return "gone"
        body = found.body or _encode(client, found)
        claim = ledger.claim(key, generation, body, seen=found.count, holder=holder)
        if isinstance(claim, Claim):
            return _Sender(ledger, client, key, generation, found.run_id, claim).send(body)
        if claim == "expired":
            ledger.bury(key, generation, "expired")
            _log.error("run.dead", run_id=found.run_id, key=key, reason="expired")
            return "dead"
        if claim != "changed":
            return claim


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
        self, ledger: Ledger, client: Client, key: str, generation: int, run_id: str, claim: Claim
    ) -> None:
        self._ledger, self._client = ledger, client
        self._key, self._generation, self._run_id = key, generation, run_id
        self._claim = claim
        self._attempt = claim.attempt
        self._may_have_arrived = claim.is_repeat
        self._started = time.monotonic()

    def send(self, body: bytes) -> str:
        """Send *body* and write down how it ended."""
        try:
            receipt = self._send(body)
        except Unavailable as error:
            return self._postpone(error)
        except Rejected as error:
            return self._bury(error)
        outcome = {"status": receipt.status, "correlation_id": receipt.correlation_id}
        self._ledger.finish(self._key, self._generation, {**outcome, "took_ms": receipt.took_ms})
        _log.info("run.submitted", **self._ids(), **outcome, took_ms=receipt.took_ms)
        return "submitted"

    def _send(self, body: bytes) -> Receipt:
        name = f"{self._key}.{self._generation}" if self._generation else self._key

        @backoff.on_exception(
            backoff.runtime,
            Unavailable,
            value=self._wait_s,
            max_time=IN_PLACE_S,
            jitter=None,  # the waits are jittered where they are chosen
            giveup=_is_for_later,
            on_backoff=self._renew,
            logger=None,
        )
        def post() -> Receipt:
            self._started = time.monotonic()
            return self._client.post(self._run_id, body, idempotency_key=name)

        receipt: Receipt = post()
        return receipt

    def _wait_s(self, error: Unavailable) -> float:
        if error.retry_after_s is not None:
            return error.retry_after_s
        tries = self._attempt - self._claim.attempt
        return random.uniform(0, _FIRST_WAIT_S * 2.0**tries)  # noqa: S311  (not for secrets)

    def _renew(self, details: Any) -> None:
        """Write down the failed attempt and take the lease anew, before waiting for the next."""
        error: Unavailable = details["exception"]
        outcome = self._outcome(error)
        self._may_have_arrived |= error.is_unknown
        if not self._ledger.renew(
            self._key, self._generation, self._claim, outcome, is_unknown=error.is_unknown
        ):
            raise Unavailable("the lease was taken over") from error
        _log.warning("run.retried", **self._ids(), **outcome)
        self._attempt += 1

    def _postpone(self, error: Unavailable) -> str:
        delay_s = error.retry_after_s
        if delay_s is None:
            # by claims, not attempts: those in place come within two seconds
            delay_s = min(_FIRST_DELAY_S * 2.0 ** (self._claim.fence - 1), _LONGEST_DELAY_S)
        outcome = self._outcome(error)
        self._ledger.postpone(
            self._key,
            self._generation,
            self._claim,
            outcome,
            delay_ms=int(delay_s * 1000),
            is_unknown=error.is_unknown,
        )
        _log.warning("run.postponed", **self._ids(), **outcome, delay_s=round(delay_s, 1))
        return "postponed"

    def _bury(self, error: Rejected) -> str:
        lost_track = self._may_have_arrived and error.status in _PROBABLY_ARRIVED
        reason = "unconfirmed" if lost_track else "rejected"
        outcome = self._outcome(error)
        self._ledger.bury(self._key, self._generation, reason, claim=self._claim, outcome=outcome)
        _log.error("run.dead", **self._ids(), **outcome, reason=reason)
        return "dead"

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


def _is_for_later(error: Exception) -> bool:
    """Whether the wait that Genesys asks for is no short one."""
    return isinstance(error, Unavailable) and (error.retry_after_s or 0) > IN_PLACE_S / 2


_NO_ANSWER_IN_TIME = error_output(
    ToolError(
        "timeout",
        "The tool did not answer in time. Tell the caller, or try the same call again.",
        retryable=True,
    )
)
