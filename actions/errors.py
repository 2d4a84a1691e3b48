"""
Errors of a data action before its tool is called; the tool's own are db.errors.ToolError.

    ActionError
    ├── Unauthorized    401: no secret of ours
    ├── BadDeadline     400: the deadline's header cannot be read
    └── Busy            429: all slots are taken
"""


class ActionError(Exception):
    """A data action that is refused before its tool is called."""


class Unauthorized(ActionError):
    """The secret is missing or wrong."""


class BadDeadline(ActionError):
    """The header with the action's timeout holds no such number."""


class Busy(ActionError):
    """All slots are taken."""
