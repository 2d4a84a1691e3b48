"""What is known of each run: one Redis hash a run, one Lua script a step."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from json.encoder import encode_basestring_ascii
from typing import Any, Literal

import redis

from genesys.types import ToolCall
from runtime import metrics
from tasks.calls import REPUBLISH_MS, Calls, outputs_of
from tasks.errors import Busy, Conflict
from tasks.records import Accepted, Claim, DueRun, Outputs
from tasks.scripts import DEAD, RUN, to_text

LEASE_MS = 12_000
"""One POST may last 10 s in all; its sender is taken for dead 2 s after that."""
STEP_MS = 5_000
"""A run handed to a reconciler that dies is due again after this; a claim sets its own time."""

DUE_AT_ONCE = 200
"""Runs that one look goes through; the script holds the ledger for about a millisecond."""


def key_of(run_id: str, call_ids: Sequence[str]) -> str:
    """The name of a run's tool calls: 32 hex digits; the same for each repeated delivery."""
    return _digest([run_id, *call_ids])


class Ledger(Calls):
    """
    The steps of a run. Each is one round trip and one atomic script.

    Raises:
        LedgerUnavailable: From every step, when Redis does not answer in time.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        answer_by_s: float,
        expires_s: float,
        retention_s: int,
        dead_letter_retention_s: int,
        max_wait_s: float = 15,
        max_waiting: int = 10_000,
        timeouts_ms: Mapping[str, int] | None = None,
        default_timeout_ms: int = 5_000,
    ) -> None:
        super().__init__(client, timeouts_ms or {}, default_timeout_ms)
        self.answer_by_ms = int(answer_by_s * 1000)
        self.expires_ms = int(expires_s * 1000)
        self._max_wait_ms = int(max_wait_s * 1000)
        self._max_waiting = max_waiting
        self._retention_s = retention_s
        self._dead_letter_retention_s = dead_letter_retention_s

    def accept(
        self,
        run_id: str,
        calls: Sequence[ToolCall],
        *,
        queue: str = "",
        message_of: Callable[[str], str] = str,
    ) -> Accepted:
        """
        Store a run with its calls, or recognise it.

        Args:
            queue: Where the broker is the ledger's Redis, its list, onto which a new run's message
                goes in the same step.

            message_of: Makes that message from the key.

        Raises:
            Conflict: The key is known with other names or arguments.

            Busy: The run is new, and too many wait to begin, or one for too long.
        """
        key = key_of(run_id, [call["id"] for call in calls])
        parts = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls]
        digest = _digest([text for part in parts for text in part])
        answer = self.run_step(
            "accept",
            key,
            [run_id, digest, self.answer_by_ms, self.expires_ms, REPUBLISH_MS[0]],
            self._max_wait_ms,
            self._max_waiting,
            queue,
            message_of(key) if queue else "",
            *[word for index, part in enumerate(parts) for word in _fields_of(index, *part)],
        )
        if answer == b"conflict":
            raise Conflict(key)
        if isinstance(answer, int):
            raise Busy(retry_after_s=answer)
        return Accepted(key, is_duplicate=answer == b"duplicate")

    def outputs(self, key: str, generation: int) -> Outputs | None:
        """What there is to submit; None when the run is gone."""
        answer = self.run_step("outputs", key, [generation])
        if answer[0] == b"gone":
            return None
        if answer[0] == b"frozen":
            return Outputs(to_text(answer[1]), (), (), answer[2])
        return outputs_of(answer[1], answer[2])

    def claim(
        self, key: str, generation: int, body: bytes, *, seen: int, holder: str
    ) -> Claim | Literal["gone", "expired", "held", "waiting", "changed", "incomplete"]:
        """
        Take the right to POST for one lease, freezing *body* if none is frozen yet.

        Args:
            seen: How many outputs *body* was made from; one more since then is "changed".

            holder: Unique to this attempt; the same holder may ask again.
        """
        answer = self.run_step("claim", key, [generation, holder, body, seen, LEASE_MS])
        if answer[0] != b"claimed":
            word: Literal["gone", "expired", "held", "waiting", "changed", "incomplete"]
            word = answer[0].decode()
            return word
        return Claim(answer[1], answer[2], answer[3], is_repeat=bool(answer[4]))

    def finish(self, key: str, generation: int, outcome: Mapping[str, Any]) -> None:
        """
        End a run that was answered 2xx; *outcome* is kept with its last attempt.

        A dead letter of this generation is one no more. Safe to call twice.
        """
        arguments = [generation, self._retention_s, DEAD]
        answer = self.run_step("finish", key, arguments, *_flat(outcome))
        if answer != b"gone":
            metrics.count("runs", state="submitted")
            if answer[1] >= 0:
                metrics.observe("run_seconds", answer[1] / 1000)

    def postpone(
        self,
        key: str,
        generation: int,
        claim: Claim,
        outcome: Mapping[str, Any],
        *,
        delay_ms: int,
        is_unknown: bool,
    ) -> None:
        """Give the right to POST back; the next attempt is due in *delay_ms*."""
        self.run_step(
            "postpone",
            key,
            [generation, claim.fence, delay_ms, int(is_unknown)],
            *_flat(outcome),
        )

    def bury(
        self,
        key: str,
        generation: int,
        reason: str,
        *,
        claim: Claim | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> str | None:
        """
        End a run as a dead letter, everything kept; *reason* is one word.

        Args:
            claim: Whose right to POST it was. Without one, only a run that has expired and that
                nobody sends is ended.

        Returns:
            The reason that was written: "unconfirmed" in place of "expired" when an attempt may
            have arrived. None when the run was not ended.
        """
        fence = "" if claim is None else claim.fence
        answer = self.run_step(
            "bury",
            key,
            [generation, fence, reason, self._dead_letter_retention_s],
            *_flat(outcome or {}),
        )
        if answer[0] != b"buried":
            return None
        metrics.count("runs", state="dead")
        return to_text(answer[1])

    def due(self, *, senders: int, may_go: int | None = None) -> list[DueRun]:
        """
        Take runs that need a step; submissions inside their answer-by first, nearest first.

        Args:
            senders: At most so many steps that need one.

            may_go: At most so many submissions; None means as many as senders.
        """
        most = senders if may_go is None else may_go
        bounds = [DUE_AT_ONCE, STEP_MS, senders, most]
        answer = self.run_step("due", "", [RUN, *bounds, *REPUBLISH_MS])
        return [
            DueRun(key.decode(), to_text(run_id), int(generation), step.decode())
            for key, run_id, generation, step in answer
        ]

    def renew(
        self,
        key: str,
        generation: int,
        claim: Claim,
        outcome: Mapping[str, Any],
        *,
        attempt: int,
        is_unknown: bool,
    ) -> bool:
        """
        Keep the right to POST for one more attempt in place; False when it is gone.

        Args:
            attempt: The one that *outcome* is of; asked twice, it is counted once.
        """
        arguments = [generation, claim.fence, int(is_unknown), LEASE_MS, attempt]
        return bool(self.run_step("renew", key, arguments, *_flat(outcome))[0] == b"renewed")


def _flat(outcome: Mapping[str, Any]) -> list[Any]:
    """Names and values by turns, without those that are None."""
    return [part for pair in outcome.items() if pair[1] is not None for part in pair]


def _fields_of(index: int, call_id: str, name: str, arguments: str) -> tuple[str | bytes, ...]:
    """The call's fields in its run's entry, names and values by turns."""
    id_field, name_field, arguments_field = _field_names(index)
    return (
        id_field,
        _to_bytes(call_id),
        name_field,
        _to_bytes(name),
        arguments_field,
        _to_bytes(arguments),
    )


@cache
def _field_names(index: int) -> tuple[str, str, str]:
    return f"id:{index}", f"name:{index}", f"arguments:{index}"


# Arguments are a caller's bytes: a lone surrogate must reach validation, where it becomes an
# error output, and not break the write here.
def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(texts: Sequence[str]) -> str:
    # of the texts as a JSON list without spaces, as json.dumps would write it at thrice the cost
    listed = f"[{','.join(map(encode_basestring_ascii, texts))}]"
    return hashlib.sha256(listed.encode()).hexdigest()[:32]
