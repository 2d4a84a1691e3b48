"""What of JSON Schema the validator judges, and what it would ignore: that is refused."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from db.formats import FORMATS

DRAFT = "http://json-schema.org/draft-07/schema"

_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "$comment", "readOnly", "writeOnly"}
)
_RULES = frozenset(
    {"type", "enum", "const", "format", "required", "pattern", "minLength", "maxLength"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
)
# what holds schemas: one, a list of them, or one a name
_ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "propertyNames"}
    | {"not", "if", "then", "else"}
)
_LISTS = frozenset({"allOf", "anyOf", "oneOf"})
_NAMED = frozenset({"properties", "patternProperties", "definitions"})
_KNOWN = (
    _ANNOTATIONS | _RULES | _ONE | _LISTS | _NAMED | {"items", "dependencies", "$ref", "$schema"}
)
_TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})
_COUNTS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
)
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_BOUNDS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
)
_SHAPES = {
    "properties": dict,
    "patternProperties": dict,
    "definitions": dict,
    "dependencies": dict,
    "enum": list,
    "required": list,
    "allOf": list,
    "anyOf": list,
    "oneOf": list,
    "pattern": str,
    "format": str,
    "$ref": str,
    "uniqueItems": bool,
}
_WORDS = {dict: "an object", list: "an array", str: "a string", bool: "true or false"}


def unusable(schema: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """
    Everything in a schema that would be ignored, fetched or misread.

    Returns:
        For each a JSON pointer into the schema, and what is wrong there.
    """
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield pointer, "must be a schema: an object, true or false"
        return
    if not pointer:
        yield from _draft(schema)
    for key, value in schema.items():
        yield from _keyword(schema, key, value, f"{pointer}/{escape(key)}")
    yield from _contradictions(schema, pointer)
    for at, part in _parts(schema):
        yield from unusable(part, f"{pointer}/{at}")


def escape(name: str) -> str:
    """*name* as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _draft(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    draft = schema.get("$schema", DRAFT)
    if not isinstance(draft, str) or draft.rstrip("#") != DRAFT:
        yield "/$schema", f"$schema must be {DRAFT}# or left out; another draft is not read"


def _keyword(
    schema: Mapping[str, Any], key: str, value: Any, pointer: str
) -> Iterator[tuple[str, str]]:
    if key not in _KNOWN:
        close = difflib.get_close_matches(key, _KNOWN, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        yield pointer, f"{key} is no keyword that is checked (JSON Schema draft 7){hint}"
        return
    if "$ref" in schema and key not in _ANNOTATIONS | {"$ref", "definitions", "$schema"}:
        yield pointer, f"{key} is ignored beside $ref; put both into allOf"
    wanted = _SHAPES.get(key)
    if wanted is not None and not isinstance(value, wanted):
        yield pointer, f"{key} must be {_WORDS[wanted]}"
        return
    yield from ((pointer, message) for message in _value(schema, key, value))


def _value(schema: Mapping[str, Any], key: str, value: Any) -> Iterator[str]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in ("default", "enum", "const", "examples") and _has_reference(value):
        yield f"{key} holds $ref or $id, which would be followed even in a value"
    if key == "type":
        kinds = value if isinstance(value, list) else [value]
        for kind in kinds:
            if not isinstance(kind, str) or kind not in _TYPES:
                close = difflib.get_close_matches(str(kind), _TYPES, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                yield f"type {kind} is none of {', '.join(sorted(_TYPES))}{hint}"
    elif key in _COUNTS and not (is_number and value >= 0 and value == int(value)):
        yield f"{key} must be a whole number of 0 or more"
    elif key in _NUMBERS and not is_number:
        yield f"{key} must be a number"
    elif key == "multipleOf" and value <= 0:
        yield "multipleOf must be more than 0"
    elif key == "format" and value not in FORMATS:
        yield f"format {value} would not be checked; known: {', '.join(sorted(FORMATS))}"
    elif key == "$ref" and not value.startswith("#"):
        yield f"$ref {value} leaves the file; nothing is fetched"
    elif key == "required" and not all(isinstance(name, str) for name in value):
        yield "required must hold names"
    elif key == "enum" and not value:
        yield "enum must hold a value"
    elif key in ("then", "else") and "if" not in schema:
        yield f"{key} is ignored without if"
    elif key == "additionalItems" and not isinstance(schema.get("items"), list):
        yield "additionalItems is ignored unless items is an array"


def _has_reference(value: Any) -> bool:
    # fastjsonschema 2.22 looks for references in values too, and fetches what they name
    if isinstance(value, dict):
        return bool({"$ref", "$id"} & set(value)) or any(map(_has_reference, value.values()))
    return isinstance(value, list) and any(map(_has_reference, value))


def _contradictions(schema: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, str]]:
    """Bounds that nothing can be within."""
    for least, most in _BOUNDS:
        low, high = schema.get(least), schema.get(most)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            yield f"{pointer}/{least}", f"{least} {low} is above {most} {high}; nothing fits"


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly inside this one, each with its pointer."""
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            yield from ((f"{key}/{escape(name)}", part) for name, part in value.items())
        elif key == "dependencies" and isinstance(value, dict):
            for name, part in value.items():
                if not isinstance(part, list):
                    yield f"{key}/{escape(name)}", part
        elif isinstance(value, list) and (key in _LISTS or key == "items"):
            yield from ((f"{key}/{number}", part) for number, part in enumerate(value))
        elif key in _ONE or key == "items":
            yield key, value
