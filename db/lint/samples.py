"""Sample arguments at the edges of a schema, to try a statement with."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from db.catalog import Tool
from db.catalog.explain import Explainer
from db.catalog.schema.subschemas import resolved, walk
from db.catalog.words.describe import example
from db.errors import ToolError

MAX_SAMPLES = 100
"""Values that are tried for one property, beside all of its `enum`s."""
_MAX_DEPTH = 3
_LONGEST = 10_000
_DIGITS = "98765432109876543210"
_STRINGS = (
    *("", "a", "é", "😀", " ", "0", "-1", "1.5", "1e400", "NaN", "infinity", "true", "null"),
    *("'", "%", "_", "\\", "(", "[", "{", "{}", "[]", "a,b", "2026-02-30", "2026-01-02", "12:00"),
    *("ada@example.com", "8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2", "A", "AB", "ABC", "AB-1234"),
    *(_DIGITS[:size] for size in (1, 2, 3, 5, 8, 9, 10, 12, 18, 19, 20)),
)
_OF_FORMAT = {
    "date": ("2024-02-29", "0001-01-01", "9999-12-31"),
    "date-time": (
        *("2026-01-02T03:04:05Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        *("2016-12-31T23:59:60Z", "2026-01-02t03:04:05z", "2026-01-02T03:04:05.123456789+15:59"),
        "2026-01-02T03:04:05-15:59",
    ),
    "time": ("12:00:00Z", "00:00:00+15:59", "23:59:60Z", "23:59:59.999999999-15:59"),
    "uuid": ("8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2", "00000000-0000-0000-0000-00000000000F"),
    "email": ("ada@example.com", "o'neil+tag%x@mail.example.co.uk", "jörg@exämple.de"),
    "ipv4": ("192.0.2.1", "0.0.0.0", "255.255.255.255"),  # noqa: S104
    "ipv6": ("2001:db8::1", "::", "::ffff:192.0.2.1"),
}
_INTEGERS = (1, 0, -1, 5, 2**31 - 1, 2**31, -(2**31) - 1, 2**40, 2**63 - 1, 2**70)
_NUMBERS = (1.5, 1, 0, -1, -0.5, 0.1, 1e-9, 1e15, 2**31, 1e300)
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "integer": _INTEGERS,
    "number": _NUMBERS,
    "boolean": (True, False),
    "null": (None,),
    "object": ({}, {"a": 1}, {"é": [None, {"b": "😀"}]}),
}


@dataclass(frozen=True)
class Sample:
    """One call: the property that it tries (None: it tries none), its value, all arguments."""

    name: str | None
    value: Any
    arguments: str


def calls(tool: Tool) -> Iterator[Sample]:
    """
    Calls that the tool's schema takes.

    The first ones are usual: of the tool's examples, and one made up. Then each property by turns
    has the least, the largest, the empty and odd values that the schema takes.
    """
    usual = [dict(e["arguments"]) for e in tool.examples if _takes(tool, e["arguments"])]
    made_up = _usual(tool, usual)
    for arguments in [*usual[:3], *made_up]:
        yield Sample(None, None, json.dumps(arguments))
    if not (usual or made_up):
        return
    base = (made_up or usual)[0]
    explainer = Explainer(tool.parameters)
    for name, schema in tool.parameters.get("properties", {}).items():
        at_most = MAX_SAMPLES + _listed(resolved(schema, tool.parameters))
        for value in islice(values(schema, tool.parameters, explainer), at_most):
            arguments = {**base, name: value}
            if _takes(tool, arguments):
                yield Sample(name, value, json.dumps(arguments))
        if name in base:
            without = {key: value for key, value in base.items() if key != name}
            if _takes(tool, without):
                yield Sample(name, None, json.dumps(without))


def _listed(schema: Any) -> int:
    return sum(len(part.get("enum", ())) for _, part in walk(schema))


def values(
    schema: Any, root: Mapping[str, Any], explainer: Explainer, depth: int = 0
) -> Iterator[Any]:
    """Different values that *schema*, a part of *root*, takes; the usual one first."""
    seen = []
    for value in _candidates(schema, root, explainer, depth):
        text = json.dumps(value)
        if text not in seen and explainer.fits(value, schema):
            seen.append(text)
            yield value


def _candidates(
    schema: Any, root: Mapping[str, Any], explainer: Explainer, depth: int
) -> Iterator[Any]:
    yield example(schema, root)
    found = resolved(schema, root)
    yield from found.get("enum", ())
    if "const" in found:
        yield found["const"]
    yield from found.get("examples", ())
    if "enum" in found or "const" in found:
        return
    for key in ("anyOf", "oneOf", "allOf"):
        for part in found.get(key, ()):
            if depth < _MAX_DEPTH:
                yield from _candidates(part, root, explainer, depth + 1)
    kinds = found.get("type", [*_PLAIN, "string", "array"])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        yield from _edges(found)
        if kind == "string":
            yield from _strings(found)
        elif kind == "array":
            yield from _arrays(found, root, explainer, depth)
        else:
            yield from _PLAIN[kind]


def _edges(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The numbers that bounds name, and their next ones."""
    for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if key in schema:
            yield from (schema[key], schema[key] + 1, schema[key] - 1)
    if "multipleOf" in schema:
        yield from (schema["multipleOf"], schema["multipleOf"] * 2)


def _strings(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from _OF_FORMAT.get(str(schema.get("format")), ())
    yield from _STRINGS
    for size in (schema.get("minLength"), min(schema.get("maxLength", _LONGEST), _LONGEST)):
        if size:
            yield from ("a" * size, "9" * size, "é" * size, "A" * size)


def _arrays(
    schema: Mapping[str, Any], root: Mapping[str, Any], explainer: Explainer, depth: int
) -> Iterator[list[Any]]:
    yield []
    if depth >= _MAX_DEPTH:
        return
    items = schema.get("items", True)
    if isinstance(items, list):
        parts = [next(values(part, root, explainer, depth + 1), None) for part in items]
        yield from (parts[:size] for size in range(1, len(parts) + 1))
        return
    listed = _listed(resolved(items, root))
    inside = list(islice(values(items, root, explainer, depth + 1), 30 + listed))
    size = max(1, min(schema.get("maxItems", len(inside)), len(inside)))
    if listed:
        yield from (inside[at : at + size] for at in range(0, len(inside), size))
    for value in inside:
        yield [value]
    for size in {2, schema.get("minItems", 2), min(schema.get("maxItems", 3), 1000)}:
        yield inside[:size]
        yield (inside * size)[:size]
        yield inside[:1] * size
    for kind in ((int, float), (str,), (list,), (dict,)):
        alike = [value for value in inside if isinstance(value, kind)]
        yield alike[:3]
        yield [*alike[:1], None]


def _usual(tool: Tool, usual: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls made of examples and first values: one of all properties, one of the required ones."""
    explainer = Explainer(tool.parameters)
    properties = tool.parameters.get("properties", {})
    known = {name: value for arguments in usual for name, value in arguments.items()}
    whole = {}
    for name, schema in properties.items():
        value = known.get(name, next(values(schema, tool.parameters, explainer), ...))
        if value is not ...:
            whole[name] = value
    least = {name: whole[name] for name in tool.parameters.get("required", ()) if name in whole}
    return [arguments for arguments in (whole, least) if _takes(tool, arguments)]


def _takes(tool: Tool, arguments: Mapping[str, Any]) -> bool:
    try:
        tool.validator.values(json.dumps(arguments))
    except ToolError:
        return False
    return True
