"""Find equal items of an array, as JSON Schema compares values."""

from collections.abc import Hashable, Sequence
from typing import Any


def first_repeated(items: Sequence[Any]) -> tuple[int, int] | None:
    """The indexes of the first two equal items, as JSON Schema compares; None when all differ."""
    seen: dict[Hashable, int] = {}
    for number, item in enumerate(items):
        first = seen.setdefault(_comparable(item), number)
        if first != number:
            return first, number
    return None


def _comparable(value: Any) -> Hashable:
    """Equal for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return ("object", frozenset((name, _comparable(part)) for name, part in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_comparable, value)))
    return (isinstance(value, bool), value)
