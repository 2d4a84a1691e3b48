"""Fill the defaults of a schema into valid arguments."""

from collections.abc import Iterator, Mapping
from typing import Any

from db.catalog.schema.subschemas import resolved


def with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """
    A copy of *value* in which properties that were left out have their schema's default.

    Objects inside objects and arrays are filled in, too; what a default brings is taken as it is.
    Defaults inside `anyOf`, `if` and their like are none: the check refuses them.
    """
    return _filled(value, schema, schema)


def default_of(schema: Any, root: Mapping[str, Any]) -> tuple[Any] | None:
    """The default of a property in a tuple; it may stand behind its `$ref` or in its `allOf`."""
    if not isinstance(schema, Mapping):
        return None
    if "default" in schema:
        return (schema["default"],)
    inside = [resolved(schema, root)] if "$ref" in schema else schema.get("allOf", ())
    return next((found for part in inside if (found := default_of(part, root))), None)


def _filled(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    for part in _parts(schema, root) if isinstance(value, dict | list) else ():
        if isinstance(value, dict):
            value = _filled_object(value, part.get("properties", {}), root)
        elif isinstance(part.get("items"), dict):
            value = [_filled(item, part["items"], root) for item in value]
        elif isinstance(part.get("items"), list):
            first = part["items"]
            value = [
                _filled(item, first[n], root) if n < len(first) else item
                for n, item in enumerate(value)
            ]
    return value


def _filled_object(
    value: dict[str, Any], properties: Mapping[str, Any], root: Mapping[str, Any]
) -> dict[str, Any]:
    changed = dict(value)
    for name, schema in properties.items():
        if name in value:
            changed[name] = _filled(value[name], schema, root)
        else:
            default = default_of(schema, root)
            if default is not None:
                changed[name] = default[0]
    return changed


def _parts(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema behind its references, and those of its `allOf`; a file has no endless ones."""
    found = resolved(schema, root)
    yield found
    for part in found.get("allOf", ()):
        yield from _parts(part, root)
