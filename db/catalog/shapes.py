"""Optional parts of tool.json for callers with fixed contracts: `columns` and `aliases`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from db.catalog.schema.subschemas import escape

COLUMN_TYPES = ("string", "integer", "number", "boolean")


def fits(value: Any, kind: str) -> bool:
    """Whether a JSON value is one of a column's type; text alone may be null."""
    if value is None:
        return kind == "string"
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int):
        return kind in ("integer", "number")
    if isinstance(value, float):
        return kind == "number" or (kind == "integer" and value.is_integer())
    return isinstance(value, str) and kind == "string"


def problems(tool: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Everything wrong with `columns` and `aliases`.

    Returns:
        For each a JSON pointer into tool.json, and what is wrong there.
    """
    for name, column in tool.get("columns", {}).items():
        yield from ((f"/columns/{escape(name)}", text) for text in _column(name, column))
    properties = tool["parameters"].get("properties", {})
    for name, aliases in tool.get("aliases", {}).items():
        schema = properties.get(name) if isinstance(properties, Mapping) else None
        for text in _aliases(name, aliases, schema):
            yield f"/aliases/{escape(name)}", text


def example_problem(tool: Mapping[str, Any], example: Mapping[str, Any]) -> str | None:
    """Where the rows of an example and `columns` differ; None when they agree."""
    columns, output = tool.get("columns"), example.get("output")
    items = output.get("items") if isinstance(output, Mapping) else None
    if not columns or not isinstance(items, list):
        return None
    for item in items:
        if not isinstance(item, Mapping) or set(item) != set(columns):
            return f"a row does not have the columns {', '.join(columns)}"
        for name, value in item.items():
            if not fits(value, columns[name]["type"]):
                text = json.dumps(value, ensure_ascii=False)
                return f"{name} is {text}, which is not of the type in columns"
    return None


def _column(name: str, column: Any) -> Iterator[str]:
    if not isinstance(column, Mapping) or not set(column) <= {"type", "description"}:
        yield f'column {name} must be {{"type": …, "description": …}}'
        return
    if column.get("type") not in COLUMN_TYPES:
        yield f'column {name} must have a "type" of {", ".join(COLUMN_TYPES)}'
    if not isinstance(column.get("description", ""), str):
        yield f"column {name}: description must be a string"


def _aliases(name: str, aliases: Any, schema: Any) -> Iterator[str]:
    values = schema.get("enum") if isinstance(schema, Mapping) else None
    if not isinstance(values, list):
        yield f"aliases names {name}, which is no property with an enum"
        return
    if not isinstance(aliases, Mapping) or not all(isinstance(v, str) for v in aliases.values()):
        yield f"aliases of {name} must be an object of alias and value"
        return
    for alias, value in aliases.items():
        if value not in values:
            yield f"alias {alias} of {name} stands for {value}, which is not in its enum"
        elif alias in values and alias != value:
            yield f"alias {alias} of {name} is another value of its enum"
    named = list(aliases.values())
    for value in sorted({v for v in named if named.count(v) > 1}):
        yield f"{value} of {name} has more than one alias"
