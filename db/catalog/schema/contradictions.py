"""Find parts of a JSON Schema that no value can fit."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from db.catalog.schema.subschemas import on_same_value, resolved, walk

_BOUNDS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
)
# a number is "integer" or "fraction" here, so that types can be intersected
_KINDS = {"number": {"integer", "fraction"}}
_ALL = frozenset({"string", "integer", "fraction", "boolean", "object", "array", "null"})
_SHORTEST = {"date": 10, "date-time": 20, "time": 9, "uuid": 36, "email": 5, "ipv4": 7, "ipv6": 2}
_LONGEST = {"date": 10, "uuid": 36, "ipv4": 15, "ipv6": 45}


def contradictions(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Each place where nothing fits.

    Returns:
        For each a JSON pointer into the schema, and what excludes what.
    """
    for pointer, part in walk(schema):
        for key, text in _contradictions(part, schema):
            yield f"{pointer}/{key}", text
        for name, inside in part.get("properties", {}).items():
            if inside is False and not pointer and name not in part.get("required", ()):
                yield f"/properties/{name}", f"{name} is false, which nothing fits; leave it out"


def _contradictions(part: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _bounds(part)
    yield from _lengths(part)
    yield from _items(part)
    yield from _names(part, root)
    yield from _types(part, root)


def _bounds(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for least, most in _BOUNDS:
        low, high = part.get(least), part.get(most)
        if low is not None and high is not None and low > high:
            yield least, f"{least} {low} is above {most} {high}; nothing fits"
    least, low = _limit(part, "minimum", "exclusiveMinimum", is_upper=False)
    most, high = _limit(part, "maximum", "exclusiveMaximum", is_upper=True)
    if not least or not most or ((least, most) == ("minimum", "maximum") and low > high):
        return
    is_open = "exclusive" in least or "exclusive" in most
    if low > high or (is_open and low == high):
        yield least, f"{least} {low} leaves nothing below {most} {high}; nothing fits"
    elif part.get("type") == "integer":
        first = math.floor(low) + 1 if "exclusive" in least else math.ceil(low)
        last = math.ceil(high) - 1 if "exclusive" in most else math.floor(high)
        if first > last:
            yield least, f"no whole number lies between {low} and {high}; nothing fits"
    step = part.get("multipleOf")
    if step and low > 0 and low < high < step:
        yield "multipleOf", f"no multiple of {step} lies between {low} and {high}; nothing fits"


def _limit(
    part: Mapping[str, Any], closed: str, opened: str, *, is_upper: bool
) -> tuple[str, float]:
    """The keyword that bounds a number from one side, and its value; "" when there is none."""
    given = [(part[key], key) for key in (opened, closed) if part.get(key) is not None]
    if not given:
        return "", 0
    value, key = min(given, key=lambda one: one[0] if is_upper else -one[0])
    return key, value


def _lengths(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = str(part.get("format"))
    if part.get("maxLength", math.inf) < _SHORTEST.get(name, 0):
        text = f"maxLength {part['maxLength']} is too short for the format {name}; nothing fits"
        yield "maxLength", text
    if part.get("minLength", 0) > _LONGEST.get(name, math.inf):
        text = f"minLength {part['minLength']} is too long for the format {name}; nothing fits"
        yield "minLength", text


def _items(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    items, least = part.get("items"), part.get("minItems", 0)
    if isinstance(items, list) and part.get("additionalItems") is False and least > len(items):
        yield "minItems", f"minItems {least} is more than the {len(items)} of items; nothing fits"
    values = items.get("enum") if isinstance(items, dict) else None
    if part.get("uniqueItems") and values and least > len(values):
        yield "minItems", f"minItems {least} is more than the {len(values)} values; nothing fits"
    if "contains" in part and part.get("maxItems") == 0:
        yield "contains", "contains wants an item and maxItems allows none; nothing fits"
    if items is False and least:
        yield "items", f"items is false and minItems is {least}; nothing fits"


def _names(part: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names that `additionalProperties: false` forbids: it sees the properties beside it alone."""
    properties, required = part.get("properties", {}), part.get("required", [])
    if len(required) > part.get("maxProperties", math.inf):
        text = f"maxProperties is below the {len(required)} of required; nothing fits"
        yield "maxProperties", text
    for name in required:
        if properties.get(name) is False:
            yield "required", f"required names {name}, which properties forbids; nothing fits"
    if part.get("additionalProperties") is not False or "patternProperties" in part:
        return
    if part.get("minProperties", 0) > len(properties):
        text = f"minProperties is above the {len(properties)} of properties; nothing fits"
        yield "minProperties", text
    if part is not root:
        for name in required:
            if name not in properties:
                yield "required", f"required names {name}, which is no property; nothing fits"
    for other in on_same_value(part, root):
        other = resolved(other, root)
        for name in (*other.get("properties", {}), *other.get("required", ())):
            if name not in properties:
                text = f"false forbids {name}, which is not in the properties beside it"
                yield "additionalProperties", text
    for name in part.get("dependencies", {}):
        if name not in properties:
            yield "dependencies", f"dependencies names {name}, which is no property"


def _types(part: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    own = _kinds({key: part[key] for key in ("type", "enum", "const") if key in part}, root)
    for key in ("allOf", "anyOf", "oneOf"):
        for number, branch in enumerate(part.get(key, ())):
            if own and not own & _kinds(branch, root):
                text = f"nothing fits this part of {key}: its type and that around it differ"
                yield f"{key}/{number}", text
    branches = part.get("allOf", ())
    if branches and all(_kinds(branch, root) & own for branch in branches):
        left = own
        for branch in branches:
            left = left & _kinds(branch, root)
        if own and not left:
            yield "allOf", "nothing fits: the types in allOf exclude each other"


def _kinds(schema: Any, root: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """The types that a schema can take; all when that is not plain to see."""
    if schema is False:
        return frozenset()
    schema = resolved(schema, root)
    found = _ALL
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        found = frozenset().union(*(_KINDS.get(kind, {kind}) for kind in kinds))
    if "enum" in schema:
        found &= frozenset(_kind_of(value) for value in schema["enum"])
    if "const" in schema:
        found &= {_kind_of(schema["const"])}
    if depth < 8:
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                found &= frozenset().union(*(_kinds(s, root, depth + 1) for s in schema[key]))
        for branch in schema.get("allOf", ()):
            found &= _kinds(branch, root, depth + 1)
    return found


def _kind_of(value: Any) -> str:
    if isinstance(value, float):
        return "integer" if value.is_integer() else "fraction"
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")
