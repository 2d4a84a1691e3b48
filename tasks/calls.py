"""The ledger's steps for a run's calls: give them to workers, and write their outputs down."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import redis

from runtime import metrics
from tasks.holders import new_holder
from tasks.records import Begun, Outputs, Recorded, Started
from tasks.scripts import Scripts, to_text

MARGIN_MS = 2_000
"""Queries stop this long before answer-by; a started call is due again this long after its own
timeout. Covers reading, encoding and one slow round trip."""
REPUBLISH_MS = (5_000, 10_000, 20_000)
"""A call that nobody started is fanned out again after these waits, counted by round."""
RELEASE_MS = 2_000
"""A call whose database is away is tried again this much later, and holds no slot meanwhile."""
CHORD_GRACE_MS = 2_000
"""From the last output to the reconciler's look: the chord's own submission takes milliseconds."""
MAX_TRIES = 3
"""A call that was started this often and never answered is poison."""
AT_ONCE = 6
"""Calls of one run that are fanned out at once; whoever has done with one goes on with the rest.
A message costs as much as two calls of a few milliseconds, and no run takes all workers."""


class Calls(Scripts):
    """
    The first half of `Ledger`: from the fan-out to the last output.

    Args:
        timeouts_ms: By tool; bounds how long one of its calls is in hand.

        default_timeout_ms: Of all other tools.
    """

    def __init__(
        self, client: redis.Redis, timeouts_ms: Mapping[str, int], default_timeout_ms: int
    ) -> None:
        super().__init__(client)
        self._default_timeout_ms = default_timeout_ms
        # only what differs from the default travels with each question for a call
        self._special_timeouts = json.dumps(
            {n: ms for n, ms in timeouts_ms.items() if ms != default_timeout_ms}
        )

    def begin(
        self,
        key: str,
        generation: int,
        *,
        message: str = "",
        may_take_over: bool = False,
        quick: Mapping[str, int] | None = None,
        queue: str = "",
        call_message: str = "",
    ) -> Begun | None:
        """
        Take what is missing and not in hand, to fan it out; None when the run is gone.

        Args:
            message: With one, a call is taken in hand at once, and at most `AT_ONCE` are to be
                fanned out.

            may_take_over: See `start`.

            quick: Tools whose calls take less than a message does, each with how many of its calls
                follow, in place, one that is fanned out.

            queue: Where the broker is the ledger's Redis, its list, onto which the messages of
                missing calls go in the same step.

            call_message: Those messages, with `ROUND` and `INDEX` for what differs.
        """
        by, holder = self._asker(message, may_take_over=may_take_over)
        at_once = AT_ONCE - 1 if message else 1_000
        to_publish = [queue, call_message]
        arguments = [generation, at_once, *by, json.dumps(quick or {}), *to_publish, *REPUBLISH_MS]
        answer = self.run_step("begin", key, arguments)
        if answer[0] == b"gone":
            return None
        if answer[4] >= 0:
            metrics.observe("queue_wait_seconds", answer[4] / 1000)
        taken = _started(holder, message, answer[5])
        return Begun(answer[1], tuple(answer[6:]), taken, is_complete=answer[3] == answer[2])

    def start(
        self, key: str, generation: int, index: int, *, may_take_over: bool = False
    ) -> Started | Literal["gone", "recorded", "in_hand", "late"]:
        """
        Take the call of a message in hand and count the try, before any work on it.

        Args:
            may_take_over: The message came again because its last holder has ended; the call may
                then be another one, with which that had gone on.

        Returns:
            A word when there is nothing to do.
        """
        by, holder = self._asker(str(index), may_take_over=may_take_over)
        answer = self.run_step("start", key, [generation, index, *by])
        started = _started(holder, str(index), answer)
        if started is None:
            word: Literal["gone", "recorded", "in_hand", "late"] = answer[0].decode()
            return word
        return started

    def release(self, key: str, generation: int, call: Started) -> bool:
        """
        Give a call back for another try in 2 s, by any worker; False when no time is left for one.

        A run that is gone takes no more tries and no output either: that is True as well.
        """
        arguments = [generation, call.index, call.holder, RELEASE_MS, MARGIN_MS]
        return bool(self.run_step("release", key, arguments) != b"late")

    def record(
        self,
        key: str,
        generation: int,
        index: int,
        output: str,
        *,
        code: str,
        took_ms: int,
        message: str = "",
    ) -> Recorded | None:
        """
        Write down the output of one call; the first writer wins.

        Args:
            code: "ok", or the error output's code.

            message: With one, this also gives what to do next in its place.

        Returns:
            How far the run has come; None when this output was dropped.
        """
        by, holder = self._asker(message)
        arguments = [generation, index, output, code, took_ms, CHORD_GRACE_MS, *by]
        answer = self.run_step("record", key, arguments)
        if answer[0] != b"recorded":
            return None
        left, more = answer[1], answer[2:]
        if left == 0 and more:
            return Recorded(0, outputs=outputs_of(more[0], more[1]))
        return Recorded(left, following=_started(holder, message, more[0] if more else ()))

    def _asker(self, message: str, *, may_take_over: bool = False) -> tuple[list[Any], str]:
        holder = new_holder()
        times = [self._default_timeout_ms, self._special_timeouts, MARGIN_MS]
        return [holder, message, *times, MAX_TRIES, int(may_take_over)], holder


def _started(holder: str, message: str, answer: Sequence[Any]) -> Started | None:
    if not answer or answer[0] not in (b"started", b"poison"):
        return None
    word, index, attempt, left_ms, *texts = answer
    name, arguments, call_id = map(to_text, texts)
    is_poison = word == b"poison"
    return Started(
        holder, message, index, attempt, left_ms, name, arguments, call_id, is_poison=is_poison
    )


def outputs_of(run_id: bytes, pairs: Sequence[bytes]) -> Outputs:
    """What there is to submit, from call ids and outputs by turns."""
    call_ids = tuple(map(to_text, pairs[::2]))
    return Outputs(to_text(run_id), call_ids, tuple(to_text(o) or None for o in pairs[1::2]), None)
