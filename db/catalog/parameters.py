"""Check the `parameters` of a tool: every mistake of its schema."""

import difflib
import json
from collections.abc import Iterator
from typing import Any

from fastjsonschema import JsonSchemaDefinitionException

from db.catalog.explain import Explainer
from db.catalog.keywords import unusable
from db.catalog.schema.contradictions import contradictions
from db.catalog.schema.recursion import doubling
from db.catalog.schema.subschemas import walk
from db.catalog.validate import compile_schema

# fastjsonschema 2.22 checks few keywords itself and falls over the rest
_BAD_SCHEMA = (
    JsonSchemaDefinitionException,
    RecursionError,
    TypeError,
    AttributeError,
    LookupError,
    ValueError,
)


_DOUBLING = (
    "two parts of this schema recur for the same value, so that each level doubles the work;"
    ' tell them apart by "type", or by a required property with another "const", named first'
)


def problems(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Everything wrong with a tool's parameters.

    Returns:
        For each a JSON pointer into the schema, and what is wrong there.
    """
    try:
        found = [*unusable(schema)]
    except RecursionError:
        yield "", "parameters is nested too deeply"
        return
    if schema.get("type") != "object" and "/type" not in [pointer for pointer, _ in found]:
        yield "/type", 'parameters must have "type": "object"'
    if schema.get("additionalProperties") is not False:
        yield "/additionalProperties", 'parameters must have "additionalProperties": false'
    if not found:
        found = [*_required(schema), *contradictions(schema), *_values(schema)]
        found += [(pointer, _DOUBLING) for pointer in doubling(schema)]
    if not found:
        try:
            compile_schema(schema)
        except _BAD_SCHEMA as exc:
            found = [("", f"parameters is not a valid schema: {exc}")]
    yield from found


def _required(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in schema.get("required", []):
        if name not in schema.get("properties", {}):
            yield "/required", f"required names {name}, which is no property{hint(name, schema)}"


def _values(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Values in a schema that the schema itself refuses: a default, an example, one of an enum."""
    explainer = Explainer(schema)
    for pointer, part in walk(schema):
        alone = {key: value for key, value in part.items() if key not in ("enum", "const")}
        for key in (k for k in ("default", "enum", "const", "examples") if k in part):
            judge = alone if key in ("enum", "const") else part
            values = part[key] if key in ("enum", "examples") else [part[key]]
            wrong = [value for value in values if not explainer.fits(value, judge)]
            if wrong and len(wrong) == len(values) and judge is alone:
                yield f"{pointer}/{key}", f"nothing fits: {key} and the rest exclude each other"
                continue
            for value in wrong:
                text = json.dumps(value, ensure_ascii=False)
                yield f"{pointer}/{key}", f"{key} {text} breaks its own schema"


def hint(name: str, schema: dict[str, Any]) -> str:
    """ "; did you mean …?" when a property resembles *name*."""
    close = difflib.get_close_matches(name, schema.get("properties", {}), n=1)
    return f"; did you mean {close[0]}?" if close else ""
