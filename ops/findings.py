"""What the doctor finds: one thing, and what to do when it is not well."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` is None when it is well, `can_heal` when waiting may help."""

    subject: str
    advice: str | None = None
    can_heal: bool = False
