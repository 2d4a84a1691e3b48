"""Sentences about names of an object: missing, unknown, misspelt or in the wrong place."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from db.catalog.schema.subschemas import resolved
from db.catalog.words.broken import Broken
from db.catalog.words.describe import described
from db.catalog.words.wrong_types import read_json

MAX_NAMES = 50
"""Names of an object that a sentence lists."""


def required_sentence(broken: Broken, root: Mapping[str, Any]) -> str:
    # in `then` and its like, names alone are given
    schema = {**root.get("properties", {}), **broken.schema.get("properties", {})}.get(broken.name)
    if schema is None:
        return "is required and missing"
    return f"is required and missing: give {described(schema, root)}"


def additional_sentence(broken: Broken, root: Mapping[str, Any]) -> str:
    properties = broken.schema.get("properties", {})
    if not properties:
        return "is not known: leave it out; there are no properties here"
    # `given` is the object that holds the name
    inside = broken.given.get(broken.name) if isinstance(broken.given, dict) else None
    if isinstance(inside, str):
        inside = read_json(inside)
    if isinstance(inside, dict) and set(inside) & set(properties):
        return f"is not known: put what is inside it one level up, and leave {broken.name[:50]} out"
    names = ", ".join([*properties][:MAX_NAMES]) + (", …" if len(properties) > MAX_NAMES else "")
    for name, part in properties.items():
        if name not in broken.given and broken.name in _names_inside(part, root):
            return f"is not known here: put it into {name} (known: {names})"
    close = _close(broken.name[:MAX_NAMES], [n for n in properties if n not in broken.given])
    if close:
        return f"is not known: did you mean {close}? (known: {names})"
    return f"is not known: leave it out (known: {names})"


def dependencies_sentence(broken: Broken, root: Mapping[str, Any]) -> str:
    properties = {**root.get("properties", {}), **broken.schema.get("properties", {})}
    needed = [
        f"{name} needs {other} beside it: give {described(properties.get(other, True), root)}"
        for name, others in broken.wanted.items()
        if isinstance(others, list) and name in broken.given
        for other in others
        if other not in broken.given
    ]
    return "; ".join(needed)


def _names_inside(schema: Any, root: Mapping[str, Any]) -> set[str]:
    found = resolved(schema, root)
    parts = [found, *found.get("anyOf", ()), *found.get("oneOf", ())]
    return {name for part in parts for name in resolved(part, root).get("properties", ())}


def _close(name: str, known: Sequence[str]) -> str | None:
    """The known name that is spelt nearly like *name*, holds it, or that it abbreviates."""
    plain = {letters_of(one): one for one in known}
    wanted = letters_of(name)
    if len(wanted) >= 3:
        holding = [one for one in plain if len(one) >= 3 and (one in wanted or wanted in one)]
        short = [one for one in plain if one[:1] == wanted[:1] and _abbreviates(wanted, one)]
        for found in (holding, short):
            if len(found) == 1:
                return plain[found[0]]
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else None


def _abbreviates(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


def letters_of(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
