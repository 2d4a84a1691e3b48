"""One thing that a check of tool folders finds."""

from dataclasses import dataclass

from db.errors import Mistake


@dataclass(frozen=True)
class Finding:
    """A mistake, or only a warning."""

    mistake: Mistake
    is_warning: bool = False
