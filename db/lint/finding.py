"""One finding of a check of tool folders: a mistake or a warning, with its place."""

from dataclasses import dataclass

from db.errors import Mistake


@dataclass(frozen=True)
class Finding:
    """A mistake, or only a warning."""

    mistake: Mistake
    is_warning: bool = False
