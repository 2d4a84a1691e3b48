"""Find keywords of a JSON Schema that are misspelt, misplaced, ignored or unusable."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft7Validator

from db.catalog.explain import Explainer
from db.catalog.schema.subschemas import escape, on_same_value, target, walk
from db.formats import FORMATS
from db.patterns import PatternError, compile_pattern

DRAFT = "http://json-schema.org/draft-07/schema"

_META: Mapping[str, Any] = Draft7Validator.META_SCHEMA
_SHAPES = Explainer(_META)
_KNOWN = frozenset(_META["properties"]) - {"$id", "contentMediaType", "contentEncoding"}
_TYPES = frozenset(_META["definitions"]["simpleTypes"]["enum"])
_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "$comment", "readOnly", "writeOnly"}
)
_HOLD_VALUES = ("default", "enum", "const", "examples")
# types that each keyword applies to; values of all others pass it
_OF_TYPE = {
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format"), ("string",)),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        ("integer", "number"),
    ),
    **dict.fromkeys(
        ("items", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains"),
        ("array",),
    ),
    **dict.fromkeys(
        (
            *("properties", "patternProperties", "additionalProperties", "propertyNames"),
            *("required", "minProperties", "maxProperties", "dependencies"),
        ),
        ("object",),
    ),
}


def unusable(schema: Any) -> Iterator[tuple[str, str]]:
    """
    Everything in a schema that is misspelt, misread, ignored or fetched.

    Returns:
        For each a JSON pointer into the schema, and what is wrong there.
    """
    shapes = dict(_shapes(schema))
    yield from shapes.items()
    for pointer, part in walk(schema):
        for key, value in part.items():
            at = f"{pointer}/{escape(key)}"
            if key not in _KNOWN:
                yield at, _unknown(key)
            elif not any(wrong == at or wrong.startswith(f"{at}/") for wrong in shapes):
                yield from ((at, text) for text in _keyword(part, key, value, pointer))
    if not shapes:
        yield from _references(schema)


def _shapes(schema: Any) -> Iterator[tuple[str, str]]:
    """What breaks the meta-schema of draft 7: a `minLength` that is a text, `items` that is 3."""
    for violation in _SHAPES.violations(schema):
        pointer, message = violation["path"], violation["message"]
        key = pointer.rpartition("/")[2]
        found = _at(schema, pointer)
        if key == "type" or pointer.rpartition("/")[0].endswith("/type"):
            yield pointer, _type(found)
        elif key in _KNOWN and key not in ("items", "not", "if", "then", "else", "contains"):
            yield pointer, f"{key} {message}"
        else:
            yield pointer, f"must be a schema: an object, true or false; it {message}"


def _type(found: Any) -> str:
    kinds = found if isinstance(found, list) else [found]
    kind = next((k for k in kinds if not isinstance(k, str) or k not in _TYPES), None)
    if kind is None:
        return "type must be one type, or an array of different ones"
    close = difflib.get_close_matches(_USUAL.get(str(kind), str(kind)).lower(), _TYPES, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"type {kind} is none of {', '.join(sorted(_TYPES))}{hint}"


_USUAL = {
    **dict.fromkeys(("int", "long", "bigint"), "integer"),
    **dict.fromkeys(("float", "double", "decimal", "numeric"), "number"),
    **dict.fromkeys(("text", "str", "varchar", "date", "datetime", "uuid"), "string"),
    **dict.fromkeys(("list", "tuple"), "array"),
    **dict.fromkeys(("dict", "map", "json", "jsonb"), "object"),
    **dict.fromkeys(("None", "nil", "undefined"), "null"),
}


def _unknown(key: str) -> str:
    elsewhere = _ELSEWHERE.get(key)
    if elsewhere:
        return f"{key} is no keyword that is checked (JSON Schema draft 7); {elsewhere}"
    close = difflib.get_close_matches(key, _KNOWN, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{key} is no keyword that is checked (JSON Schema draft 7){hint}"


_ELSEWHERE = {
    "nullable": 'write "type": ["string", "null"]',
    "$defs": "write definitions",
    "prefixItems": "write items with an array of schemas",
    "dependentRequired": "write dependencies",
    "dependentSchemas": "write dependencies",
    "unevaluatedProperties": "write additionalProperties beside all properties",
    "strict": "leave it out; it belongs to the assistant's own format",
    "example": "write examples with an array",
    "optional": "leave it out, and the name out of required",
}


def _keyword(part: Mapping[str, Any], key: str, value: Any, pointer: str) -> Iterator[str]:
    if key == "$schema":
        if pointer:
            yield "$schema belongs at the top of parameters alone"
        elif str(value).rstrip("#") != DRAFT:
            yield f"$schema must be {DRAFT}# or left out; another draft is not read"
    if "$ref" in part and key not in _ANNOTATIONS | {"$ref", "definitions", "$schema"}:
        yield f"{key} is ignored beside $ref; put both into allOf"
        return
    if key in _HOLD_VALUES and _has_reference(value):
        yield f"{key} holds $ref or $id, which would be followed even in a value"
    if pointer and key in _OF_TYPE and not _speaks_of(part, key):
        kinds = part["type"] if isinstance(part["type"], str) else " or ".join(part["type"])
        yield f"{key} is ignored: it is for type {_OF_TYPE[key][0]}, and type is {kinds}"
    yield from _value(part, key, value)


def _speaks_of(part: Mapping[str, Any], key: str) -> bool:
    kinds = part.get("type")
    named = {kinds} if isinstance(kinds, str) else set(kinds or ())
    return not named or not named <= _TYPES or bool(named & set(_OF_TYPE[key]))


def _value(part: Mapping[str, Any], key: str, value: Any) -> Iterator[str]:
    if key == "format" and value not in FORMATS:
        yield f"format {value} would not be checked; known: {', '.join(sorted(FORMATS))}"
    elif key == "$ref" and not value.startswith("#"):
        yield f"$ref {value} leaves the file; nothing is fetched"
    elif key == "enum" and not value:
        yield "enum must hold a value"
    elif key in ("then", "else") and "if" not in part:
        yield f"{key} is ignored without if"
    elif key == "if" and not {"then", "else"} & set(part):
        yield "if is ignored without then or else"
    elif key == "additionalItems" and not isinstance(part.get("items"), list):
        yield "additionalItems is ignored unless items is an array"
    elif key in ("pattern", "patternProperties"):
        for text in [value] if key == "pattern" else value:
            try:
                compile_pattern(text)
            except PatternError as exc:
                yield f"pattern {text} cannot be read: {exc}"


def _references(schema: Any) -> Iterator[tuple[str, str]]:
    """References that lead nowhere, and those that come back to the very value that they judge."""
    for pointer, part in walk(schema):
        reference = part.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            continue
        at = f"{pointer}/$ref"
        try:
            found = target(reference, schema)
        except (LookupError, ValueError):
            yield at, f"$ref {reference} leads to nothing in parameters"
            continue
        if not isinstance(found, dict | bool):
            yield at, f"$ref {reference} leads to what is no schema"
        elif _comes_back(found, part, schema, []):
            yield at, f"$ref {reference} leads back to itself and judges nothing"


def _comes_back(found: Any, start: Any, root: Any, seen: list[Any]) -> bool:
    if found is start:
        return True
    if not isinstance(found, dict) or any(found is one for one in seen):
        return False
    seen.append(found)
    return any(_comes_back(part, start, root, seen) for part in on_same_value(found, root))


def _has_reference(value: Any) -> bool:
    # fastjsonschema 2.22 looks for references in values too, and fetches what they name
    if isinstance(value, dict):
        return bool({"$ref", "$id"} & set(value)) or any(map(_has_reference, value.values()))
    return isinstance(value, list) and any(map(_has_reference, value))


def _at(schema: Any, pointer: str) -> Any:
    try:
        return target(f"#{pointer}", schema)
    except (LookupError, ValueError):
        return None
