"""Value object: one rule of a schema that a value breaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LEAVE_OUT = ": leave it out if there is no value"


@dataclass(frozen=True)
class Broken:
    """
    A rule of a schema that a value breaks.

    `wanted` is the keyword's value, `schema` what holds it; `name` is the last part of the value's
    path and `may_be_left_out` whether its object need not have it. `branches` has for each schema
    of an `anyOf` or `oneOf` what of it is broken, each with its `path` from the value.
    """

    rule: str
    wanted: Any
    given: Any
    schema: Mapping[str, Any]
    name: str = ""
    may_be_left_out: bool = False
    branches: Sequence[Sequence["Broken"]] = field(default=())
    path: str = ""


def left_out(broken: Broken) -> str:
    """What to do with a value that is none, if its object need not have it; "" if it must."""
    return LEAVE_OUT if broken.may_be_left_out else ""
