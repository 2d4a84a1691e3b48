"""Positions of values in a JSON text, to report a mistake at its line."""

import json
import re
from typing import Any

from db.catalog.schema.subschemas import escape

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def positions(text: str) -> tuple[dict[str, int], list[str]]:
    """
    Where things stand in a JSON text that can be read.

    Returns:
        JSON pointer to character, of a member where its name begins; and the pointers of names
        that an object has twice, of which JSON readers keep the last in silence.
    """
    found: dict[str, int] = {}
    twice: list[str] = []
    _value(text, _skip(text, 0), "", found, twice)
    return found, twice


def line_of(text: str, at: int) -> int:
    """The 1-based line of a character."""
    return text.count("\n", 0, at) + 1


def _value(text: str, at: int, pointer: str, found: dict[str, int], twice: list[str]) -> int:
    """Note what is in the value that begins here; returns where it ends."""
    found.setdefault(pointer, at)
    opening = text[at]
    if opening not in "[{":
        _, end = _DECODER.raw_decode(text, at)
        return int(end)
    closing, at, count = "]" if opening == "[" else "}", _skip(text, at + 1), 0
    while text[at] != closing:
        name: Any = count
        begin = at
        if opening == "{":
            name, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        inner = f"{pointer}/{escape(str(name))}"
        if opening == "{" and inner in found:
            twice.append(inner)
        found[inner] = begin
        at = _skip(text, _value(text, at, inner, found, twice))
        if text[at] == ",":
            at = _skip(text, at + 1)
        count += 1
    return at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
