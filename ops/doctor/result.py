"""Result of one check of the doctor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """`problem` names what to do, None when all is well; waiting may help if `can_heal`."""

    subject: str
    problem: str | None = None
    can_heal: bool = False
