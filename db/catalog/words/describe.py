"""Describe in words what a JSON Schema accepts, with an example."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from db.catalog.schema.defaults import default_of
from db.catalog.schema.subschemas import resolved

_MAX_DEPTH = 4
_MAX_VALUES = 40
"""Values of an `enum` that a sentence lists."""
_KINDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
FORMATS_IN_WORDS = {
    "date": "a date as YYYY-MM-DD, for example 2026-02-28",
    "date-time": "a date and time with an offset, for example 2026-02-28T15:04:05Z"
    " or 2026-02-28T15:04:05+01:00",
    "time": "a time with an offset, for example 15:04:05Z or 15:04:05+01:00",
    "uuid": "a UUID, for example 8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2",
    "email": "an e-mail address, for example ada@example.com",
    "ipv4": "an IPv4 address, for example 192.0.2.1",
    "ipv6": "an IPv6 address, for example 2001:db8::1",
}
"""Description of each format, with an example."""
_FORMAT_EXAMPLES = {
    "date": "2026-02-28",
    "date-time": "2026-02-28T15:04:05Z",
    "time": "15:04:05Z",
    "uuid": "8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2",
    "email": "ada@example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


def in_words(kinds: Sequence[str]) -> str:
    """Types of JSON Schema: "a string or null"."""
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds)


def one_of(values: Sequence[Any]) -> str:
    """The values of an `enum`: `one of "S", "M"`."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values[:_MAX_VALUES]]
    more = f" and {len(values) - _MAX_VALUES} more" if len(values) > _MAX_VALUES else ""
    return (f"one of {', '.join(texts)}" if len(values) != 1 else texts[0]) + more


def listed(count: Any, unit: str) -> str:
    """A count with its unit: "1 item", "2 properties"."""
    many = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    return f"{count} {unit if count == 1 else many}"


def described(schema: Any, root: Mapping[str, Any], depth: int = 0) -> str:
    """What *schema* takes, in a few words: "a whole number from 1 to 20"."""
    if schema is False:
        return "nothing"
    found = resolved(schema, root)
    if "const" in found:
        return json.dumps(found["const"], ensure_ascii=False)
    if found.get("enum"):
        return one_of(found["enum"])
    for key in ("anyOf", "oneOf"):
        if found.get(key) and depth < _MAX_DEPTH:
            return " or ".join(described(part, root, depth + 1) for part in found[key])
    if found.get("allOf") and "type" not in found and depth < _MAX_DEPTH:
        return " and ".join(described(part, root, depth + 1) for part in found["allOf"])
    kind = found.get("type")
    kinds = kind if isinstance(kind, list) else [kind or _implied(found)]
    return " or ".join(_kind(name, found, root, depth) for name in kinds)


def example(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """A value of the schema's type, if it can be, one that its author gave."""
    found = resolved(schema, root)
    default = default_of(schema, root)
    given = [*found.get("examples", ())[:1], *(default or ()), *found.get("enum", ())[:1]]
    given += [found["const"]] if "const" in found else []
    given = [value for value in given if value is not None]
    if given:
        return given[0]
    kind = found.get("type") or _implied(found)
    kind = kind[0] if isinstance(kind, list) else kind
    if kind in ("integer", "number"):
        return _number(found)
    if kind == "string":
        return _FORMAT_EXAMPLES.get(found.get("format", ""), "text")
    if kind == "array":
        items = found.get("items", {})
        return [example(items, root, depth + 1)] if depth < _MAX_DEPTH else []
    if kind == "object":
        names = [n for n in found.get("required", ()) if n in found.get("properties", {})]
        if depth >= _MAX_DEPTH:
            return {}
        return {name: example(found["properties"][name], root, depth + 1) for name in names}
    return True if kind == "boolean" else "text"


def _number(schema: Mapping[str, Any]) -> Any:
    least, most = schema.get("minimum"), schema.get("maximum")
    usual: Any = 5 if schema.get("type") == "integer" else 1.5
    if least is not None and usual < least:
        return least
    if most is not None and usual > most:
        return most
    return usual


def _implied(schema: Mapping[str, Any]) -> str:
    """The type that the keywords of a schema without one speak of."""
    for kind, keys in _IMPLIED.items():
        if keys & set(schema):
            return kind
    return ""


def _kind(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> str:
    if kind == "string":
        return _string(schema)
    if kind in ("integer", "number"):
        return _KINDS[kind] + _range(schema)
    if kind == "array" and isinstance(schema.get("items"), dict) and depth < _MAX_DEPTH:
        inside = described(schema["items"], root, depth + 1)
        return f"an array, each item {inside}" if inside != "anything" else "an array"
    if kind == "object":
        return _object(schema, root, depth)
    if "not" in schema and not kind:
        return f"anything but {described(schema['not'], root, depth + 1)}"
    return _KINDS.get(kind, "anything")


def _string(schema: Mapping[str, Any]) -> str:
    if schema.get("format") in FORMATS_IN_WORDS:
        return FORMATS_IN_WORDS[schema["format"]]
    if "pattern" in schema:
        return f"a string that matches the pattern {schema['pattern']}{known_text(schema)}"
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least and most:
        return f"a string of {least} to {listed(most, 'character')}"
    if most:
        return f"a string of at most {listed(most, 'character')}"
    return f"a string of at least {listed(least, 'character')}" if least else "a string"


def known_text(schema: Mapping[str, Any]) -> str:
    """An example of a pattern, when the author gave one."""
    known = [*schema.get("examples", ()), schema.get("default")]
    text = next((text for text in known if isinstance(text, str)), None)
    return f", for example {json.dumps(text, ensure_ascii=False)}" if text is not None else ""


def _range(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f" from {least} to {most}{_step(schema)}"
    words = []
    for key, text in (
        ("minimum", "of at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "of at most"),
        ("exclusiveMaximum", "below"),
    ):
        if key in schema:
            words.append(f" {text} {schema[key]}")
    return " and".join(words) + _step(schema)


def _step(schema: Mapping[str, Any]) -> str:
    return f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else ""


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> str:
    properties = schema.get("properties", {})
    required = list(schema.get("required", ()))
    if not required or depth >= _MAX_DEPTH:
        return "an object"
    texts = []
    for name in required:
        inside = resolved(properties.get(name, {}), root)
        is_fixed = "const" in inside or len(inside.get("enum", ())) == 1
        texts.append(f"{name} {described(inside, root, depth + 1)}" if is_fixed else name)
    return f"an object with {' and '.join(texts)}"


_IMPLIED = {
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "array": {"items", "minItems", "maxItems", "uniqueItems", "contains"},
    "object": {"properties", "required", "minProperties", "maxProperties", "propertyNames"},
}
