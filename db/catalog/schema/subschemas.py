"""Walk the schemas inside a JSON Schema, and resolve its local references."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "propertyNames"}
    | {"not", "if", "then", "else"}
)
"""Keywords that hold one schema."""
LISTS = frozenset({"allOf", "anyOf", "oneOf"})
"""Keywords that hold a list of schemas."""
NAMED = frozenset({"properties", "patternProperties", "definitions"})
"""Keywords that hold a schema for each name."""

_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependencies")


def escape(name: str) -> str:
    """*name* as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly inside this one, each with its pointer without the first slash."""
    for key, value in schema.items():
        if key in NAMED and isinstance(value, dict):
            yield from ((f"{key}/{escape(name)}", part) for name, part in value.items())
        elif key == "dependencies" and isinstance(value, dict):
            for name, part in value.items():
                if not isinstance(part, list):
                    yield f"{key}/{escape(name)}", part
        elif isinstance(value, list) and (key in LISTS or key == "items"):
            yield from ((f"{key}/{number}", part) for number, part in enumerate(value))
        elif key in ONE or key == "items":
            yield key, value


def walk(schema: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """This schema and all inside it that are objects, each with its JSON pointer."""
    if isinstance(schema, dict):
        yield pointer, schema
        for at, part in parts(schema):
            yield from walk(part, f"{pointer}/{at}")


def target(reference: str, root: Mapping[str, Any]) -> Any:
    """
    What `#/…` leads to in *root*.

    Raises:
        LookupError: To nothing.
    """
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            if not name.isdecimal():
                raise LookupError(name)
            found = found[int(name)]
        elif isinstance(found, dict):
            found = found[name]
        else:
            raise LookupError(name)  # noqa: TRY004  (of a reference, as all others here)
    return found


def resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a chain of local references ends in; empty when it ends nowhere."""
    seen: list[str] = []
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
        if schema["$ref"] in seen:
            return {}
        seen.append(schema["$ref"])
        try:
            schema = target(schema["$ref"], root)
        except LookupError:
            return {}
    return schema if isinstance(schema, Mapping) else {}


def on_same_value(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas that judge the very value that this one judges: of `$ref`, `allOf`, `if` …"""
    if isinstance(schema.get("$ref"), str):
        try:
            yield target(schema["$ref"], root)
        except LookupError:
            return
        return
    for at, part in parts(schema):
        if at.partition("/")[0] in _SAME_VALUE:
            yield part


def mapped(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy of *schema* with *change* applied to each schema directly inside it."""
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NAMED or key == "dependencies":
            changed[key] = {
                name: part if isinstance(part, list) else change(part)
                for name, part in value.items()
            }
        elif key in LISTS or (key == "items" and isinstance(value, list)):
            changed[key] = [change(part) for part in value]
        elif key in ONE or key == "items":
            changed[key] = change(value)
        else:
            changed[key] = value
    return changed
