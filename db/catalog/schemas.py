"""What can be wrong with the JSON Schema of a tool."""

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from fastjsonschema import JsonSchemaDefinitionException, JsonSchemaValueException

from db.catalog.keywords import escape, unusable
from db.catalog.validate import compile_schema
from db.formats import translated

# fastjsonschema 2.22 checks few keywords itself and falls over the rest: "items": 3, a TypeError
_BAD_SCHEMA = (
    JsonSchemaDefinitionException,
    re.error,
    RecursionError,
    TypeError,
    AttributeError,
    LookupError,
    ValueError,
)


def problems(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Everything wrong with a tool's parameters.

    Returns:
        For each a JSON pointer into the schema, and what is wrong there.
    """
    found = [*unusable(schema)]
    if schema.get("type") != "object" and "/type" not in [pointer for pointer, _ in found]:
        yield "/type", 'parameters must have "type": "object"'
    if schema.get("additionalProperties") is not False:
        yield "/additionalProperties", 'parameters must have "additionalProperties": false'
    if not found:
        found = [*_required(schema), *_values(schema, "", schema.get("definitions", {}))]
    if not found:
        try:
            compile_schema(schema, fast_fail=True)
        except _BAD_SCHEMA as exc:
            found = [("", f"parameters is not a valid schema: {exc}")]
    yield from found


def _required(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in schema.get("required", []):
        if name not in schema.get("properties", {}):
            yield "/required", f"required names {name}, which is no property{hint(name, schema)}"


def _values(schema: Any, pointer: str, definitions: Any) -> Iterator[tuple[str, str]]:
    """Patterns that Python cannot read, and defaults that their own schema refuses."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _values(part, f"{pointer}/{number}", definitions)
    if not isinstance(schema, dict):
        return
    patterns = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    if isinstance(schema.get("patternProperties"), dict):
        patterns += schema["patternProperties"]
    for pattern in patterns:
        try:
            translated(pattern)
        except (ValueError, re.error) as exc:
            yield pointer, f"pattern {pattern} cannot be read: {exc}"
    if "default" in schema and not _is_valid(schema["default"], schema, definitions):
        text = json.dumps(schema["default"])
        yield f"{pointer}/default", f"default {text} breaks its own schema"
    for key, part in schema.items():
        if key not in ("default", "enum", "const", "examples"):
            yield from _values(part, f"{pointer}/{escape(key)}", definitions)


def _is_valid(value: Any, schema: dict[str, Any], definitions: Any) -> bool:
    alone = {key: part for key, part in schema.items() if key != "default"}
    try:
        compile_schema({"allOf": [alone], "definitions": definitions}, fast_fail=True)(value)
    except JsonSchemaValueException:
        return False
    except _BAD_SCHEMA:
        pass  # it refers to what is elsewhere in the file
    return True


def hint(name: str, schema: dict[str, Any]) -> str:
    """ "; did you mean …?" when a property resembles *name*."""
    close = difflib.get_close_matches(name, schema.get("properties", {}), n=1)
    return f"; did you mean {close[0]}?" if close else ""
