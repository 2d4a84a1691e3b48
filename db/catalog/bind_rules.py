"""Check `bind` of a tool and the bound values of its examples: every mistake."""

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any

from db.catalog.bind import HEADER, BoundArguments
from db.catalog.schema.subschemas import escape, on_same_value, resolved, walk

MAX_SOURCE = 200
"""Characters of a source; it is a field in the ledger."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")  # what Postgres takes behind `toolworker.`
_POINTER = re.compile(r"(?:/(?:[^~/\x00-\x1f]|~[01])*)+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_REFERRED = ("#/definitions/", "#/properties/")
_TYPES = ("string", "integer", "boolean")


def problems(tool: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Everything wrong with `bind`.

    Returns:
        For each a JSON pointer into tool.json, and what is wrong there.
    """
    bind, parameters = tool.get("bind", {}), tool["parameters"]
    properties = parameters.get("properties", {})
    if not isinstance(properties, dict):
        return
    seen: dict[str, str] = {}
    for name, source in bind.items():
        at = f"/bind/{escape(name)}"
        if name not in properties:
            yield at, f"bind names {name}, which is no property"
            continue
        twin = seen.setdefault(name.lower(), name)
        if twin != name:
            yield at, f"bind has {twin} and {name}: headers and settings have no case"
        if not _NAME.fullmatch(name):
            text = f"{name} cannot be bound: it names a setting of Postgres, so write a letter"
            yield at, f"{text} or _, then ASCII letters, digits or _, 63 in all"
        yield from ((at, text) for text in _source(name, source))
        yield from _property(name, properties[name], parameters)
        if name in tool.get("aliases", {}):
            yield f"/aliases/{escape(name)}", f"{name} is bound, and its value taken as it is"
        if name in _fields(tool.get("no_rows_message", "")):
            text = (
                f"no_rows_message has {{{name}}}, which is bound; the model is told no such value"
            )
            yield "/no_rows_message", text
    if bind:
        yield from _elsewhere(parameters, bind)


def _source(name: str, source: Any) -> Iterator[str]:
    if isinstance(source, str) and source.startswith(HEADER):
        if not _HEADER_NAME.fullmatch(source.removeprefix(HEADER)) or len(source) > MAX_SOURCE:
            yield f"{name} is bound to no header: a name has letters, digits and - alone"
        return
    if not isinstance(source, str) or not _POINTER.fullmatch(source) or len(source) > MAX_SOURCE:
        example = '"/context/customer_id"'
        yield (
            f"{name} must be bound to a JSON pointer into the delivery, such as {example},"
            ' or to "header:NAME"; in a name ~ is ~0 and / is ~1'
        )
    elif source == "/tool_calls" or source.startswith("/tool_calls/"):
        yield f"{name} is bound to {source}, which the model writes"


def _property(name: str, schema: Any, root: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    at = f"/parameters/properties/{escape(name)}"
    found = resolved(schema, root)
    if found.get("type") not in _TYPES:
        text = f'{name} is bound, so it must have one "type" of {", ".join(_TYPES)}'
        yield f"{at}/type", f"{text}: it is a setting, and a fraction identifies nobody"
    if "default" in found or (isinstance(schema, dict) and "default" in schema):
        yield f"{at}/default", f"default of {name} is never used, because {name} is bound"


def _elsewhere(parameters: Mapping[str, Any], bind: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Where a schema names bound properties beside `properties` and `required`."""
    for keyword in ("minProperties", "maxProperties", "propertyNames", "patternProperties"):
        if keyword in parameters:
            text = f"{keyword} would judge bound properties, too; leave it out"
            yield f"/parameters/{keyword}", text
    for key in ("default", "examples", "enum", "const", "dependencies"):
        if key in parameters:
            yield (
                f"/parameters/{key}",
                f"{key} of all arguments does not go with bind; leave it out",
            )
    for part in on_same_value(parameters, parameters):
        for _, inner in walk(part):
            for name in bind:
                if name in inner.get("properties", {}) or name in inner.get("required", ()):
                    text = f"{name} is bound, so only properties and required may name it"
                    yield "/parameters", text
    for pointer, inner in walk(parameters):
        reference = str(inner.get("$ref", ""))
        # their schemas are compiled with these two alone
        parts = ("/definitions/", *(f"/properties/{escape(name)}" for name in bind))
        if reference and pointer.startswith(parts) and not reference.startswith(_REFERRED):
            text = f"{reference} is of no use to a bound property; put the schema into definitions"
            yield f"/parameters{pointer}/$ref", text
        for name in bind:
            if reference == f"#/properties/{name}" or reference.startswith(f"#/properties/{name}/"):
                text = f"{reference} leads to a bound property; put the schema into definitions"
                yield f"/parameters{pointer}/$ref", text


def example_problem(tool: Mapping[str, Any], example: Mapping[str, Any]) -> str | None:
    """What is wrong with the bound values of an example; None when nothing is."""
    bind, bound = tool.get("bind", {}), example.get("bound", {})
    if not isinstance(bound, dict):
        return "bound must be an object: bound property to value"
    for name in bound:
        if name not in bind:
            return f"bound has {name}, which the tool does not bind"
    if example.get("code") == "forbidden":
        return None
    written = ", ".join(f'"{name}": …' for name in bind)
    if set(bound) != set(bind):
        return f'the tool binds, so it needs "bound": {{{written}}}; a call without is forbidden'
    checked = BoundArguments(tool["name"], tool["parameters"], bind)
    for name, value in bound.items():
        if reason := checked.refusal(name, value):
            return (
                f"forbidden: {name} in bound is {reason}"
                if reason == "missing"
                else (f"forbidden: {name} in bound {reason}")
            )
    return None


def _fields(message: Any) -> list[str | None]:
    try:
        return [part[1] for part in Formatter().parse(message)]
    except (ValueError, TypeError):
        return []  # reported where the message is checked
