"""What is known of each run: one Redis hash a run, one Lua script a step."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import redis

from genesys.types import ToolCall
from runtime import metrics
from tasks.errors import Busy, Conflict
from tasks.holders import new_holder
from tasks.records import Accepted, Begun, Claim, DueRun, Outputs, Started
from tasks.scripts import RUN, Scripts, to_text

MARGIN_MS = 2_000
"""Queries stop this long before answer-by; a started call is due again this long after its own
timeout. Covers reading, encoding and one slow round trip."""
REPUBLISH_MS = (5_000, 10_000, 20_000)
"""A call that nobody started is fanned out again after these waits, counted by round."""
RELEASE_MS = 2_000
"""A call whose database is away is tried again this much later, and holds no slot meanwhile."""
CHORD_GRACE_MS = 2_000
"""From the last output to the reconciler's look: the chord's own submission takes milliseconds."""
LEASE_MS = 12_000
"""One POST may last 10 s in all; its sender is taken for dead 2 s after that."""
MAX_TRIES = 3
"""A call that was started this often and never answered is poison."""

STEP_MS = 5_000
"""A run handed to a reconciler that dies is due again after this; a claim sets its own time."""

DUE_AT_ONCE = 200
"""Runs that one look goes through; the script holds the ledger for about a millisecond."""


def key_of(run_id: str, call_ids: Sequence[str]) -> str:
    """The name of a run's tool calls: 32 hex digits; the same for each repeated delivery."""
    text = json.dumps([run_id, *call_ids], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Ledger(Scripts):
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
        super().__init__(client)
        self.answer_by_ms = int(answer_by_s * 1000)
        self.expires_ms = int(expires_s * 1000)
        self._max_wait_ms = int(max_wait_s * 1000)
        self._max_waiting = max_waiting
        self._retention_s = retention_s
        self._dead_letter_retention_s = dead_letter_retention_s
        self._default_timeout_ms = default_timeout_ms
        # only what differs from the default travels with each start
        self._special_timeouts = json.dumps(
            {n: ms for n, ms in (timeouts_ms or {}).items() if ms != default_timeout_ms}
        )

    def ping(self) -> None:
        """Ask whether the ledger answers."""
        self.ask(self.client.ping)

    def accept(self, run_id: str, calls: Sequence[ToolCall]) -> Accepted:
        """
        Store a run with its calls, or recognise it.

        Raises:
            Conflict: The key is known with other names or arguments.

            Busy: The run is new, and too many wait to begin, or one for too long.
        """
        key = key_of(run_id, [call["id"] for call in calls])
        fields = [
            part
            for call in calls
            for part in (call["id"], call["function"]["name"], call["function"]["arguments"])
        ]
        digest = hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()[:32]
        answer = self.run_step(
            "accept",
            key,
            [run_id, digest, self.answer_by_ms, self.expires_ms, REPUBLISH_MS[0]],
            self._max_wait_ms,
            self._max_waiting,
            *map(_to_bytes, fields),
        )
        if answer == b"conflict":
            raise Conflict(key)
        if isinstance(answer, int):
            raise Busy(retry_after_s=answer)
        return Accepted(key, is_duplicate=answer == b"duplicate")

    def begin(self, key: str, generation: int) -> Begun | None:
        """Take what is missing and not in hand, to fan it out; None when the run is gone."""
        answer = self.run_step("begin", key, [generation, *REPUBLISH_MS])
        if answer[0] == b"gone":
            return None
        if answer[4] >= 0:
            metrics.observe("queue_wait_seconds", answer[4] / 1000)
        return Begun(answer[1], tuple(answer[5:]), is_complete=answer[3] == answer[2])

    def start(
        self, key: str, generation: int, index: int, *, may_take_over: bool = False
    ) -> Started | Literal["gone", "recorded", "in_hand", "late", "poison"]:
        """
        Take one call in hand and count the try, before any work on it.

        Args:
            may_take_over: The message was delivered again, so its last holder is dead.

        Returns:
            A word when there is nothing to do; "poison" asks for an error output.
        """
        holder = new_holder()
        answer = self.run_step(
            "start",
            key,
            [generation, index, holder, self._default_timeout_ms, self._special_timeouts],
            MARGIN_MS,
            MAX_TRIES,
            int(may_take_over),
        )
        if answer[0] != b"started":
            word: Literal["gone", "recorded", "in_hand", "late", "poison"] = answer[0].decode()
            return word
        return Started(holder, answer[1], answer[2], *map(to_text, answer[3:]))

    def release(self, key: str, generation: int, index: int, call: Started) -> bool:
        """
        Give a call back for another try in 2 s, by any worker; False when no time is left for one.

        A run that is gone takes no more tries and no output either: that is True as well.
        """
        arguments = [generation, index, call.holder, RELEASE_MS, MARGIN_MS]
        return bool(self.run_step("release", key, arguments) != b"late")

    def record(
        self, key: str, generation: int, index: int, output: str, *, code: str, took_ms: int
    ) -> int | None:
        """
        Write down the output of one call; the first writer wins.

        Args:
            code: "ok", or the error output's code.

        Returns:
            How many outputs are still missing; None when this one was dropped.
        """
        answer = self.run_step(
            "record", key, [generation, index, output, code, took_ms, CHORD_GRACE_MS]
        )
        left: int | None = answer[1] if answer[0] == b"recorded" else None
        return left

    def outputs(self, key: str, generation: int) -> Outputs | None:
        """What there is to submit; None when the run is gone."""
        answer = self.run_step("outputs", key, [generation])
        if answer[0] == b"gone":
            return None
        run_id = to_text(answer[1])
        if answer[0] == b"frozen":
            return Outputs(run_id, (), (), answer[2])
        call_ids = tuple(to_text(part) for part in answer[3::2])
        return Outputs(run_id, call_ids, tuple(to_text(o) or None for o in answer[4::2]), None)

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
        """End a run that was answered 2xx; *outcome* is kept with its last attempt."""
        answer = self.run_step("finish", key, [generation, self._retention_s], *_flat(outcome))
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
    ) -> bool:
        """
        End a run as a dead letter, everything kept; *reason* is one word.

        Args:
            claim: Whose right to POST it was. Without one, only a run that has expired and that
                nobody sends is ended.

        Returns:
            Whether it was.
        """
        fence = "" if claim is None else claim.fence
        answer = self.run_step(
            "bury",
            key,
            [generation, fence, reason, self._dead_letter_retention_s],
            *_flat(outcome or {}),
        )
        if answer == b"buried":
            metrics.count("runs", state="dead")
        return bool(answer == b"buried")

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


# Arguments are a caller's bytes: a lone surrogate must reach validation, where it becomes an
# error output, and not break the write here.
def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
