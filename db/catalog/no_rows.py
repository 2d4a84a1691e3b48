"""Fill in the message of a tool that has no rows for a call."""

from collections.abc import Mapping
from typing import Any

from db.outputs import dump


def filled(message: str, values: Mapping[str, Any]) -> str:
    """
    The message with each `{name}` as people write its value: `true`, `5`, `red, blue`.

    Args:
        values: One for each property; None, which is one that was left out, reads as "any".
    """
    return message.format_map({name: _written(value) for name, value in values.items()})


def _written(value: Any) -> str:
    if value is None:
        return "any"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join("none" if part is None else _written(part) for part in value) or "none"
    return dump(value)
