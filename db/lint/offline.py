"""Warnings about tool folders that load and may not do what their author meant."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from db.catalog.checks import check_definition
from db.catalog.definition import Definition, read_definition
from db.catalog.loader import tool_folders
from db.catalog.schema.subschemas import escape, on_same_value, resolved, walk
from db.catalog.statement import WRITES, bare
from db.errors import Mistake
from db.lint.advice import cast_of
from db.lint.finding import Finding

_ORDER_BY = re.compile(r"\border\s+by\s+%\((\w+)\)s", re.IGNORECASE)
_LIMIT = re.compile(r"\b(limit|offset)\s+%\((\w+)\)s", re.IGNORECASE)
_HANDLES_NULL = (
    r"%\(NAME\)s(?:\s*::\s*[\w\[\] ]+?)?\s*\)*\s*is\s+(?:not\s+)?(?:null|distinct)",
    r"is\s+(?:not\s+)?distinct\s+from\s+\(*%\(NAME\)s",
    r"\b(?:coalesce|nullif|num_nulls|num_nonnulls)\s*\(\s*\(*%\(NAME\)s",
    r"cast\s*\(\s*%\(NAME\)s\s+as\s+[\w\[\] ]+\)\s*is\s+(?:not\s+)?null",
)


def warnings(folder: Path) -> Iterator[Finding]:
    """
    What is worth a look in tool folders that load.

    Args:
        folder: The tools' folder; its mistakes are those of `load`, and not repeated here.
    """
    mistakes: list[Mistake] = []
    for path in tool_folders(folder, mistakes):
        definition, _ = read_definition(path)
        if definition is not None and not any(check_definition(definition)):
            for mistake in _warnings(definition):
                yield Finding(mistake, is_warning=True)


def _warnings(definition: Definition) -> Iterator[Mistake]:
    yield from _statement(definition)
    yield from _optional(definition)
    yield from _defaults(definition)
    message = definition.tool.get("no_rows_message", "")
    for name in re.findall(r"%\((\w+)\)s", message):
        text = f"%({name})s is not filled in here; write {{{name}}}"
        yield definition.mistake(text, "/no_rows_message")


def _statement(definition: Definition) -> Iterator[Mistake]:
    text = bare(definition.sql)
    for found in _ORDER_BY.finditer(text):
        advice = f"write ORDER BY CASE %({found[1]})s WHEN … THEN a column END"
        message = f"ORDER BY %({found[1]})s orders by a value that is the same for each row; "
        yield definition.sql_mistake(message + advice, found.start())
    for found in _LIMIT.finditer(text):
        schema = _property(definition, found[2])
        if schema.get("minimum", schema.get("exclusiveMinimum", -1)) < 0 and "enum" not in schema:
            message = f'{found[1].upper()} takes no number below 0; give {found[2]} "minimum": 0'
            yield definition.sql_mistake(message, found.start())
    for found in WRITES.finditer(text):
        words = " ".join(found[0].split()).upper().lstrip("( ")
        message = f"{words} looks like writing or locking, which a tool may not;"
        yield definition.sql_mistake(
            f"{message} tools check --database lets Postgres decide",
            found.end() - len(found[0].lstrip()),
        )


def _optional(definition: Definition) -> Iterator[Mistake]:
    """Properties that may be left out, and a statement that finds nothing for their NULL."""
    parameters = definition.tool["parameters"]
    given = {*parameters.get("required", ()), *definition.tool.get("bind", ())}
    text = _LIMIT.sub("", bare(definition.sql))
    for name in parameters.get("properties", {}):
        schema = _property(definition, name)
        found = re.search(rf"%\({re.escape(name)}\)s", text)
        if name in given or _has_default(definition, name) or not found:
            continue
        patterns = (pattern.replace("NAME", re.escape(name)) for pattern in _HANDLES_NULL)
        if any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns):
            continue
        message = (
            f"{name} may be left out and is NULL then, which equals nothing; write"
            f" (%({name})s::{cast_of(schema)} IS NULL OR …), or make it required"
        )
        at = bare(definition.sql).find(f"%({name})s")
        yield definition.sql_mistake(message, at)


def _has_default(definition: Definition, name: str) -> bool:
    from db.catalog.schema.defaults import default_of

    parameters = definition.tool["parameters"]
    return default_of(parameters["properties"][name], parameters) is not None


def _defaults(definition: Definition) -> Iterator[Mistake]:
    """Defaults that are never filled in."""
    parameters = definition.tool["parameters"]
    filled: set[int] = set()
    _note_filled(parameters, parameters, filled)
    for pointer, part in walk(parameters):
        required = part.get("required", ())
        for name, inside in part.get("properties", {}).items():
            if name in required and isinstance(inside, dict) and "default" in inside:
                text = f"default of {name} is never used, because {name} is required"
                at = f"{pointer}/properties/{escape(name)}/default"
                yield definition.mistake(text, f"/parameters{at}")
                filled.add(id(inside))
        if "default" in part and id(part) not in filled:
            text = "default is never used here; put it on a property itself"
            yield definition.mistake(text, f"/parameters{pointer}/default")


def _note_filled(schema: Any, root: Mapping[str, Any], filled: set[int], depth: int = 0) -> None:
    """Note the schemas whose default is filled in: of properties, behind `$ref` and in `allOf`."""
    for part in _same(schema, root):
        for inside in part.get("properties", {}).values():
            filled.update(id(one) for one in _same(inside, root))
            if depth < 16:
                _note_filled(inside, root, filled, depth + 1)
        items = part.get("items")
        for inside in items if isinstance(items, list) else [items]:
            if inside is not None and depth < 16:
                _note_filled(inside, root, filled, depth + 1)


def _same(schema: Any, root: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict):
        return
    yield schema
    inside = on_same_value(schema, root) if "$ref" in schema else schema.get("allOf", ())
    for part in inside:
        yield from _same(part, root)


def _property(definition: Definition, name: str) -> Mapping[str, Any]:
    parameters = definition.tool["parameters"]
    return resolved(parameters.get("properties", {}).get(name, {}), parameters)
