"""Values that fit a schema's types, to find out how psycopg would send them."""

from collections.abc import Iterator, Mapping
from typing import Any

from db.values import bound

_DEEPEST = 8


def samples(parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """
    Small values for every property, then large ones, then only what is always there.

    They fit the types alone, not lengths, patterns or formats: nothing is run with them.
    """
    properties = parameters.get("properties", {})
    required = parameters.get("required", [])
    for is_large in (False, True):
        yield {
            name: bound(_sample(schema, parameters, is_large=is_large))
            for name, schema in properties.items()
        }
    yield {
        name: bound(_sample(schema, parameters, is_large=False))
        if name in required or _has_default(schema)
        else None
        for name, schema in properties.items()
    }


def resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that local references lead to; empty when they lead nowhere."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str):
            break
        schema = root
        for part in reference.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            schema = schema.get(name, {}) if isinstance(schema, Mapping) else {}
    return schema if isinstance(schema, Mapping) else {}


def _has_default(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("default") is not None


def _sample(schema: Any, root: Mapping[str, Any], *, is_large: bool, depth: int = 0) -> Any:
    schema = resolved(schema, root)
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][-1 if is_large else 0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    kinds = [k for k in (kind if isinstance(kind, list) else [kind]) if k != "null"]
    chosen = (kinds or [None])[-1 if is_large else 0]
    if chosen == "integer":
        largest = schema.get("maximum", 2**40)
        return (
            int(max(largest, schema.get("minimum", 0)))
            if is_large
            else int(schema.get("minimum", min(1, largest)))
        )
    if chosen == "array":
        if depth > _DEEPEST:
            return []
        return [_sample(schema.get("items", {}), root, is_large=is_large, depth=depth + 1)]
    simple: dict[str, Any] = {
        "number": 1.5 if is_large else 1,
        "boolean": True,
        "object": {},
        "null": None,
    }
    return simple.get(str(chosen), "x")
