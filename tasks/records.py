"""What the ledger's steps give back: one small value for each."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Accepted:
    """A stored run; a duplicate was stored before, by an equal delivery."""

    key: str
    is_duplicate: bool


@dataclass(frozen=True)
class Started:
    """
    One call in hand: `left_ms` is what remains until answers must be in.

    `message` is the one on which its holder works; when that dies, whoever gets it takes over.
    `is_poison` when it was started too often and never answered: it is to be given up.
    """

    holder: str
    message: str
    index: int
    attempt: int
    left_ms: int
    name: str
    arguments: str
    call_id: str
    is_poison: bool = False


@dataclass(frozen=True)
class Begun:
    """
    What a fan-out has to do.

    `missing` are call indexes to fan out; `taken` is the call that this process was given; all
    recorded means submit.
    """

    round: int
    missing: tuple[int, ...]
    taken: Started | None
    is_complete: bool


@dataclass(frozen=True)
class Outputs:
    """What there is to send: outputs in call order (None is missing), or the frozen body."""

    run_id: str
    call_ids: tuple[str, ...]
    outputs: tuple[str | None, ...]
    body: bytes | None

    @property
    def count(self) -> int:
        """How many calls have an output."""
        return sum(output is not None for output in self.outputs)


@dataclass(frozen=True)
class Recorded:
    """
    How far a run has come: how many outputs are missing, and what this process may do next.

    That is the call in `following`, or to submit `outputs`, if this was the last.
    """

    left: int
    following: Started | None = None
    outputs: Outputs | None = None


@dataclass(frozen=True)
class Claim:
    """The right to POST; `is_repeat` when an earlier attempt may have arrived."""

    fence: int
    attempt: int
    expires_in_ms: int
    is_repeat: bool


@dataclass(frozen=True)
class DueRun:
    """A run that needs a step now; whoever gets it is the only one for a while."""

    key: str
    run_id: str
    generation: int
    step: Literal["publish", "submit", "expire"]
