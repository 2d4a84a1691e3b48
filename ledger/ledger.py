"""The ledger's steps: each is one round trip and one atomic Lua script."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from ledger import bounds, scripts
from ledger.errors import Busy, Conflict, LedgerUnavailable
from ledger.owners import new_owner_id
from ledger.scripts import (
    BEGUN,
    DEAD,
    DUE,
    ENDED,
    RECONCILERS,
    RUN,
    SEND_QUEUE,
    UNPUBLISHED,
    WAITING,
    to_bytes,
    to_text,
)
from ledger.values import Accepted, Begun, Claim, Outputs, Started, ToolCall
from runtime import metrics, settings
from runtime.trace_context import RunTrace, run_trace

# made once: `json.dumps` with separators makes an encoder for each call
_json = json.JSONEncoder(separators=(",", ":")).encode


def key_of(run_id: str, call_ids: Sequence[str]) -> str:
    """The key of a run's tool calls: 32 hex digits, the same for each repeated delivery."""
    return _digest([run_id, *call_ids])


@dataclass(eq=False, kw_only=True)
class Ledger:
    """
    The steps of a run; use one from any thread.

    Args:
        max_wait_s, max_waiting: Beyond either no run is accepted (`Busy`).

        timeouts_ms: By tool, what one call may take; with the margin it is how long a lease lasts.

        default_timeout_ms: Of all other tools.

    Raises:
        LedgerUnavailable: From every step, when Redis does not reply in time.
    """

    client: redis.Redis = field(kw_only=False)
    answer_by_s: float
    expires_s: float
    retention_s: int
    dead_letter_retention_s: int
    max_wait_s: float = 15
    max_waiting: int = 10_000
    timeouts_ms: Mapping[str, int] = field(default_factory=dict)
    default_timeout_ms: int = 5_000

    def __post_init__(self) -> None:
        self.answer_by_ms, self.expires_ms = (
            int(self.answer_by_s * 1000),
            int(self.expires_s * 1000),
        )
        self.use_timeouts(self.timeouts_ms)
        self._scripts = scripts.register(self.client)
        self._last_down: float | None = None

    def use_timeouts(self, timeouts_ms: Mapping[str, int]) -> None:
        """Lease further calls for what these tools may take, by name; others have the default."""
        # only what differs from the default travels with each lease
        special = {n: ms for n, ms in timeouts_ms.items() if ms != self.default_timeout_ms}
        self._special_timeouts = json.dumps(special)

    def accept(
        self,
        run_id: str,
        calls: Sequence[ToolCall],
        context: Mapping[str, Any] | None = None,
        *,
        traceparent: str = "",
    ) -> Accepted:
        """
        Store a run with its calls, or recognise it.

        Args:
            context: The values of the delivery that tools bind, by source; None for a source
                without one. A source that either of two deliveries lacks does not tell them apart.

            traceparent: As `parse_traceparent` returned it; no two deliveries differ by it.

        Raises:
            Conflict: The key is known with other names, arguments or context.

            Busy: The run is new, and too many wait for a worker, or one for too long, counted from
                when this process last found the ledger down, if it did since.
        """
        key = key_of(run_id, [call["id"] for call in calls])
        parts = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls]
        digest = _digest([text for part in parts for text in part])
        times = [self.answer_by_ms, self.expires_ms, bounds.REPUBLISH_MS[0]]
        limits = [int(self.max_wait_s * 1000), self.max_waiting, bounds.MESSAGES, bounds.SILENT_MS]
        fields = [word for index, part in enumerate(parts) for word in _call_fields(index, *part)]
        digests = {name: _digest([key, json.dumps(v)])[:16] for name, v in (context or {}).items()}
        kept = [_json(context) if context else "", _json(digests), traceparent]
        answer = self.step(
            "accept",
            [f"{RUN}{key}", DUE, WAITING, BEGUN, UNPUBLISHED, RECONCILERS],
            [key, run_id, digest, new_owner_id(), *times, *limits, self._up_ms(), *kept, *fields],
        )
        if answer == b"conflict":
            raise Conflict(key)
        if isinstance(answer, int):
            raise Busy(retry_after_s=answer)
        return Accepted(key, answer == b"duplicate", must_publish=answer == b"accepted")

    def begin(
        self, key: str, generation: int, *, message: str = "", may_take_over: bool = False
    ) -> Begun | None:
        """
        Take the calls that are missing and neither leased nor queued; None when the run is gone.

        Args:
            message: The task id of the fan-out.

            may_take_over: The process that had this message before is dead; what it had is free.
        """
        times = [bounds.MARGIN_MS, *bounds.REPUBLISH_MS]
        answer = self.step(
            "begin",
            [f"{RUN}{key}", DUE, WAITING, BEGUN],
            [
                key,
                generation,
                new_owner_id(),
                message,
                int(may_take_over),
                *times,
            ],
        )
        if answer[0] == b"gone":
            return None
        _, round_, calls, outputs, waited_ms, *missing = answer
        if waited_ms >= 0:
            metrics.observe("queue_wait_seconds", waited_ms / 1000)
        return Begun(round_, tuple(missing), is_complete=outputs == calls)

    def start(
        self,
        key: str,
        generation: int,
        index: int,
        *,
        message: str,
        queue: str = "",
        may_take_over: bool = False,
    ) -> Started | int | None:
        """
        Lease a call and count the try, before any work on it.

        Args:
            message: The task id under which the call is worked on.

            queue: Where the call's own message waited; empty for a call behind its fan-out.

            may_take_over: The process that had this message before is dead, and so is its lease.

        Returns:
            How many outputs are missing, when that process recorded the output before it died;
            None when there is nothing to do: the run is gone or out of time, or another worker has
            the call.
        """
        owner = new_owner_id()
        limits = [self.default_timeout_ms, self._special_timeouts, bounds.MARGIN_MS]
        given = [generation, index, owner, message, queue, int(may_take_over), *limits]
        keys = [f"{RUN}{key}", DUE, BEGUN]
        answer = self.step("start", keys, [*given, bounds.MAX_TRIES])
        word = answer[0]
        if word == b"recorded":
            return int(answer[1]) if may_take_over else None
        if word not in (b"started", b"poison"):
            return None
        _, attempt, left_ms, name, arguments, call_id, context, *trace = answer
        return Started(
            owner,
            index,
            attempt,
            left_ms,
            *(to_text(name), to_text(arguments), to_text(call_id)),
            is_poison=word == b"poison",
            context=json.loads(context) if context else {},
            trace=trace_of(key, *trace),
        )

    def release(self, key: str, generation: int, call: Started) -> bool:
        """
        Return a lease for another try in 2 s, by any worker; False when no time is left for one.

        A run that is gone takes no more tries and no output either: that is True as well.
        """
        arguments = [key, generation, call.index, call.owner, bounds.RELEASE_MS, bounds.MARGIN_MS]
        return bool(self.step("release", [f"{RUN}{key}", DUE], arguments) != b"late")

    def record(
        self,
        key: str,
        generation: int,
        index: int,
        output: str,
        *,
        owner: str,
        code: str,
        validate_ms: int = 0,
        query_ms: int = 0,
    ) -> int | None:
        """
        Record the output of one call; the first writer wins.

        Args:
            code: "ok", or the error output's code.

        Returns:
            How many outputs are missing; None when this one was dropped.
        """
        durations = [validate_ms, query_ms, bounds.CHORD_GRACE_MS]
        arguments = [key, generation, index, owner, to_bytes(output), code, *durations]
        answer = self.step("record", [f"{RUN}{key}", DUE], arguments)
        return int(answer[1]) if answer[0] == b"recorded" else None

    def outputs(self, key: str, generation: int) -> Outputs | None:
        """What there is to submit; None when the run is gone."""
        answer = self.step("outputs", [f"{RUN}{key}"], [generation])
        if answer[0] == b"gone":
            return None
        run_id, trace = to_text(answer[1]), trace_of(key, *answer[3:])
        if answer[0] == b"frozen":
            return Outputs(run_id, (), (), answer[2], trace=trace)
        ids, outputs, started = (answer[2][at::3] for at in range(3))
        found = tuple(to_text(output) or None for output in outputs)
        unstarted = frozenset(index for index, at in enumerate(started) if not at)
        return Outputs(run_id, tuple(map(to_text, ids)), found, None, unstarted, trace)

    def park(self, key: str, generation: int, why: str) -> str:
        """
        Put a run into the send queue while no POST may go; a reconciler takes it from there.

        Nothing is frozen and no attempt is counted. Calling twice is safe.

        Args:
            why: A sentence for the operator.

        Returns:
            "queued", or the word with which a claim would have been refused.
        """
        return to_text(self.step("park", [f"{RUN}{key}", DUE, SEND_QUEUE], [key, generation, why]))

    def claim(
        self, key: str, generation: int, body: bytes, *, seen: int, owner: str
    ) -> Claim | str:
        """
        Lease the POST, freezing *body* if none is frozen yet.

        Args:
            seen: How many outputs *body* was made from; one more since then is "changed".

            owner: Unique to this attempt; the same owner may call again.

        Returns:
            The lease, or why not: "gone", "expired", "held", "waiting", "changed", "incomplete".
        """
        keys = [f"{RUN}{key}", DUE, SEND_QUEUE]
        answer = self.step("claim", keys, [key, generation, owner, body, seen, bounds.LEASE_MS])
        if answer[0] != b"claimed":
            return to_text(answer[0])
        return Claim(answer[1], answer[2], answer[3], is_repeat=bool(answer[4]))

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
        Extend the lease for one more attempt in place; False when it is gone.

        Args:
            attempt: The one that *outcome* is of; called twice, it is counted once.
        """
        arguments = [key, generation, claim.fence, int(is_unknown), bounds.LEASE_MS, attempt]
        answer = self.step("renew", [f"{RUN}{key}", DUE], [*arguments, *_flat(outcome)])
        return bool(answer[0] == b"renewed")

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
        """Return the lease of the POST; the next attempt is due in *delay_ms*."""
        arguments = [key, generation, claim.fence, delay_ms, int(is_unknown), *_flat(outcome)]
        self.step("postpone", [f"{RUN}{key}", DUE], arguments)

    def finish(self, key: str, generation: int, outcome: Mapping[str, Any]) -> None:
        """
        End a run that was answered 2xx; *outcome* is kept with its last attempt.

        A dead letter of this generation is one no more. Safe to call twice.
        """
        arguments = [key, generation, self.retention_s, *_flat(outcome)]
        answer = self.step("finish", [f"{RUN}{key}", DUE, WAITING, ENDED, DEAD], arguments)
        if answer != b"gone":
            metrics.count("runs", state="submitted")
            if answer[1] >= 0:
                metrics.observe("run_seconds", answer[1] / 1000)

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
            claim: The lease of its POST. Without one, only a run is ended that has expired and
                that no sender has leased.

        Returns:
            The reason that was written: "unconfirmed" in place of "expired" when an attempt may
            have arrived. None when the run was not ended.
        """
        fence = "" if claim is None else claim.fence
        arguments = [key, generation, fence, reason, self.dead_letter_retention_s]
        keys = [f"{RUN}{key}", DUE, WAITING, SEND_QUEUE, DEAD]
        answer = self.step("bury", keys, [*arguments, *_flat(outcome or {})])
        if answer[0] != b"buried":
            return None
        metrics.count("runs", state="dead")
        return to_text(answer[1])

    def ping(self) -> None:
        """Try whether the ledger takes new runs, with a step that changes nothing."""
        self.step("ping", [f"{RUN}ping", DUE, WAITING, BEGUN, UNPUBLISHED, RECONCILERS], [])

    def call(self, command: Any) -> Any:
        """
        Run a command of the client, such as an operator's query.

        Raises:
            LedgerUnavailable: Redis did not reply in time, or refuses.
        """
        try:
            return command()
        except redis.RedisError as exc:
            self._last_down = time.monotonic()
            # a healthy primary refuses none of our commands: after a failover the old one does, and
            # its host's name may lead to the new one by now; steps of other threads are left alone
            if isinstance(exc, redis.ResponseError):
                self.client.connection_pool.disconnect(inuse_connections=False)
            raise LedgerUnavailable(f"the ledger did not reply: {type(exc).__name__}") from exc

    def _up_ms(self) -> int | str:
        """Since this process last found the ledger down; '' if it never did."""
        return "" if self._last_down is None else int((time.monotonic() - self._last_down) * 1000)

    def step(self, step: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run the script of one step; for the classes of this package."""
        return self.call(lambda: self._scripts[step](keys=keys, args=arguments))


def trace_of(key: str, traceparent: bytes, replays: bytes) -> RunTrace:
    """The trace of a run as a script returned it."""
    return run_trace(key, traceparent.decode(), int(replays))


def _flat(outcome: Mapping[str, Any]) -> list[Any]:
    """Names and values by turns, without those that are None."""
    return [part for pair in outcome.items() if pair[1] is not None for part in pair]


def _call_fields(index: int, call_id: str, name: str, arguments: str) -> list[str | bytes]:
    """The call's fields in its run's entry, names and values by turns."""
    fields = (("id", call_id), ("name", name), ("arguments", arguments))
    return [word for field, text in fields for word in (f"{field}:{index}", to_bytes(text))]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256(_json(texts).encode()).hexdigest()[:32]


def from_settings(
    values: settings.Settings,
    *,
    timeout_s: float,
    retries: int,
    timeouts_ms: Mapping[str, int] | None = None,
) -> Ledger:
    """
    A ledger with this deployment's times; nothing is connected yet.

    Args:
        timeout_s, retries: See `scripts.connect`.

        timeouts_ms: By tool; needed only where calls are started.
    """
    url = values.ledger()
    tls = values.redis_tls(url)
    return Ledger(
        scripts.connect(url, timeout_s=timeout_s, retries=retries, tls=tls),
        answer_by_s=values.run_answer_by_s,
        expires_s=values.run_expires_s,
        retention_s=values.run_retention_s,
        dead_letter_retention_s=values.dead_letter_retention_s,
        max_wait_s=values.run_max_wait_s,
        max_waiting=values.run_max_waiting,
        timeouts_ms=timeouts_ms or {},
    )
