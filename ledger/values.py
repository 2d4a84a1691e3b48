"""Types of the ledger's values: a delivery's tool calls, and what each step returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from runtime.trace_context import UNTRACED, RunTrace


class Function(TypedDict):
    """What the model calls: a tool's name and its arguments, a JSON string."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One tool call of a run."""

    id: str
    type: Literal["function"]
    function: Function


class Delivery(TypedDict):
    """A run and its tool calls, in order."""

    run_id: str
    tool_calls: list[ToolCall]


@dataclass(frozen=True)
class Accepted:
    """
    A stored run; a duplicate was stored before, by an equal delivery.

    `must_publish` is False when as many runs wait for a worker as the broker is given messages for:
    a reconciler publishes this one in its turn.
    """

    key: str
    is_duplicate: bool
    must_publish: bool = True


@dataclass(frozen=True)
class Begun:
    """
    What a fan-out has to do: call the missing calls, or submit when all outputs are there.

    `missing` are call indexes, neither leased nor queued; `round` counts the fan-outs of the run.
    """

    round: int
    missing: tuple[int, ...]
    is_complete: bool


@dataclass(frozen=True)
class Started:
    """
    One leased call.

    `left_ms` is what remains until its output must be recorded. `is_poison` when it was started
    too often and never answered: it is to be given up. `context` holds the values of its delivery
    that tools bind, by source; it is never printed.
    """

    owner: str
    index: int
    attempt: int
    left_ms: int
    name: str
    arguments: str
    call_id: str
    is_poison: bool = False
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    trace: RunTrace = UNTRACED


@dataclass(frozen=True)
class Outputs:
    """
    What there is to send: outputs in call order (None is missing), or the frozen body.

    `unstarted` are the indexes of calls that no worker has started.
    """

    run_id: str
    call_ids: tuple[str, ...]
    outputs: tuple[str | None, ...]
    body: bytes | None
    unstarted: frozenset[int] = frozenset()
    trace: RunTrace = UNTRACED

    @property
    def count(self) -> int:
        """How many calls have an output."""
        return sum(output is not None for output in self.outputs)


@dataclass(frozen=True)
class Claim:
    """The lease of a POST; `is_repeat` when an earlier attempt may have arrived."""

    fence: int
    attempt: int
    expires_in_ms: int
    is_repeat: bool


@dataclass(frozen=True)
class DueRun:
    """A run that needs a step now; no other reconciler gets it for a while."""

    key: str
    run_id: str
    generation: int
    step: Literal["publish", "submit", "expire"]
    trace: RunTrace = UNTRACED
