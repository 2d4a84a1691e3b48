"""Check tools against the rules of Genesys' products; each finding has what to write instead."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from actions.contract import MAX_ANSWER_BYTES
from actions.deadline import ANSWER_MARGIN_S, DEFAULT_TIMEOUT_S, HANG_MARGIN_S
from db.catalog.definition import Definition
from db.errors import Mistake
from ops.exports.ava import tool_name
from ops.exports.shape import SIMPLE, input_type

TARGETS = ("genesys-action", "ava", "guide")

MAX_AGENT_TOOLS, ADVISED_AGENT_INPUTS, MAX_AGENT_TOKENS = 25, 5, 10_000
MAX_GUIDE_TOOLS, MAX_GUIDE_INPUTS = 5, 4

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"orgId", "integrationId", "rawRequest"})
_AGENT_RESERVED = frozenset(
    {"Boolean", "Dynamic", "Integer", "List", "Map", "None", "Number", "String", "Unknown"}
    | {"type", "dict", "tuple", "list"}
)
_COMBINERS = frozenset(
    {"$ref", "oneOf", "anyOf", "allOf", "not", "if", "then", "else", "dependencies"}
    | {"patternProperties", "propertyNames"}
)

Found = Iterator[tuple[Mistake, bool]]
"""Each with whether it is only a warning."""


def findings(definitions: Sequence[Definition], target: str) -> Found:
    """
    Everything that tools break of the rules of one target.

    Args:
        definitions: Of a catalogue that loads, in the order of their names.

        target: Of `TARGETS`; agents and guides call data actions, whose rules they share.
    """
    for definition in definitions:
        for check in _CHECKS[target]:
            yield from check(definition)
    if target == "ava":
        yield from _agent(definitions)
    if target == "guide":
        for definition in definitions[MAX_GUIDE_TOOLS:]:
            message = f"a guide has at most {MAX_GUIDE_TOOLS} data actions; choose among the tools"
            yield definition.mistake(message), True


def _inputs(definition: Definition) -> Found:
    for name, schema in _properties(definition).items():
        at = f"/parameters/properties/{_escape(name)}"
        if not _NAME.fullmatch(name):
            message = f"{name} cannot name an input: write a letter, then letters, digits, _ or -"
            yield definition.mistake(message, at), False
        elif name in _RESERVED:
            yield (
                definition.mistake(f"{name} is reserved by Genesys; write another name", at),
                False,
            )
        if isinstance(schema, Mapping) and _COMBINERS & set(schema):
            continue  # reported at its own line
        if input_type(schema) is None:
            message = f'{name} must have one "type" of {", ".join(SIMPLE)}: inputs are flat'
            yield definition.mistake(message, f"{at}/type"), False


def _combiners(definition: Definition) -> Found:
    for pointer in _find(definition.tool["parameters"], "/parameters", _COMBINERS):
        keyword = pointer.rpartition("/")[2]
        message = f"{keyword} cannot be in a contract; write plain properties, the rest in words"
        yield definition.mistake(message, pointer), False


def _columns(definition: Definition) -> Found:
    columns = definition.tool.get("columns")
    if not columns:
        message = (
            f"columns is missing: an action has a fixed output; write {_suggested(definition)}"
        )
        yield definition.mistake(message), False
        return
    if not any(map(_has_rows, definition.examples)):
        message = "no example has rows, so nothing shows that the query has these columns"
        yield definition.mistake(message, "/columns"), True
    for name in columns:
        if not _NAME.fullmatch(name):
            message = f"{name} cannot name an output: write a letter, then letters, digits, _ or -"
            yield definition.mistake(message, f"/columns/{_escape(name)}"), False


def _bounds(definition: Definition) -> Found:
    left_ms = int((DEFAULT_TIMEOUT_S - ANSWER_MARGIN_S - HANG_MARGIN_S) * 1000)
    if definition.tool.get("timeout_ms", 0) > left_ms:
        message = (
            f"timeout_ms is above the {left_ms} that an action of {DEFAULT_TIMEOUT_S:g} s leaves"
        )
        yield definition.mistake(f"{message}; export with a longer --timeout", "/timeout_ms"), True
    if definition.tool.get("max_bytes", 0) > MAX_ANSWER_BYTES:
        message = f"max_bytes is above the {MAX_ANSWER_BYTES} of an action's answer"
        yield definition.mistake(message, "/max_bytes"), True


def _described(definition: Definition) -> Found:
    bound = definition.tool.get("bind", {})
    for name, schema in _properties(definition).items():
        if isinstance(schema, Mapping) and not str(schema.get("description", "")).strip():
            reader = "the flow's author" if name in bound else "the model"
            message = f"{name} has no description; {reader} fills it by that alone"
            yield definition.mistake(message, f"/parameters/properties/{_escape(name)}"), False


def _agent_tool(definition: Definition) -> Found:
    name, description = tool_name(definition.tool["name"]), definition.tool["description"]
    if not 3 <= len(name) <= 100 or not _IDENTIFIER.fullmatch(name):
        message = (
            f"an agent would call it {name!r}: write a name of 3 to 64 that begins with a letter"
        )
        yield definition.mistake(message, "/name"), False
    if len(description) > 500:
        message = f"description has {len(description)} characters; an agent takes at most 500"
        yield definition.mistake(message, "/description"), False
    properties = _properties(definition)
    if not properties:
        message = "an agent drops a tool without inputs; give it one"
        yield definition.mistake(message, "/parameters"), False
    if len(properties) > ADVISED_AGENT_INPUTS:
        message = f"{len(properties)} inputs; agents work best with up to {ADVISED_AGENT_INPUTS}"
        yield definition.mistake(message, "/parameters/properties"), True


def _agent_names(definition: Definition) -> Found:
    places = [
        *(("/parameters/properties", name) for name in _properties(definition)),
        *(("/columns", name) for name in definition.tool.get("columns", {})),
    ]
    for place, name in places:
        if name in _AGENT_RESERVED:
            message = f"{name} is a word of agents' own types; write another name"
            yield definition.mistake(message, f"{place}/{_escape(name)}"), False


def _agent_values(definition: Definition) -> Found:
    for pointer in _find(definition.tool["parameters"], "/parameters", frozenset({"const"})):
        yield definition.mistake("const makes agents drop the tool; write an enum", pointer), False
    for name, schema in _properties(definition).items():
        if not isinstance(schema, Mapping) or input_type(schema) != "string":
            continue
        aliases = definition.tool.get("aliases", {}).get(name, {})
        spelled = {value: alias for alias, value in aliases.items()}
        wrong = [
            value
            for value in schema.get("enum", [])
            if isinstance(value, str) and not _IDENTIFIER.fullmatch(spelled.get(value, value))
        ]
        if wrong:
            written = json.dumps({name: {_as_identifier(v): v for v in wrong}}, ensure_ascii=False)
            message = (
                f'{", ".join(wrong)} cannot be in an agent\'s enum; write "aliases": {written}'
            )
            yield definition.mistake(message, f"/parameters/properties/{_escape(name)}/enum"), False


def _guide_inputs(definition: Definition) -> Found:
    names = list(_properties(definition))
    if len(names) > MAX_GUIDE_INPUTS:
        message = f"{len(names)} inputs; a guide takes an action with at most {MAX_GUIDE_INPUTS}"
        at = f"/parameters/properties/{_escape(names[MAX_GUIDE_INPUTS])}"
        yield definition.mistake(message, at), False


def _agent(definitions: Sequence[Definition]) -> Found:
    """Rules that tools break together, such as their number."""
    for definition in definitions[MAX_AGENT_TOOLS:]:
        message = f"an agent has at most {MAX_AGENT_TOOLS} tools"
        yield definition.mistake(message), False
    names: dict[str, str] = {}
    tokens = 0
    for definition in definitions:
        name = tool_name(definition.tool["name"])
        if name in names:
            message = (
                f"an agent would call it {name}, as it calls {names[name]}; write another name"
            )
            yield definition.mistake(message, "/name"), False
        names.setdefault(name, definition.tool["name"])
        before, tokens = tokens, tokens + len(definition.tool_text) // 4
        if before <= MAX_AGENT_TOKENS < tokens:
            message = f"with this tool an agent's definition may exceed {MAX_AGENT_TOKENS} tokens"
            yield definition.mistake(message), True


def _properties(definition: Definition) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = definition.tool["parameters"].get("properties", {})
    return properties


def _find(schema: Any, pointer: str, keywords: frozenset[str]) -> Iterator[str]:
    """Where keywords stand in a schema; names of properties are no keywords."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _find(part, f"{pointer}/{number}", keywords)
    if not isinstance(schema, Mapping):
        return
    for key, part in schema.items():
        at = f"{pointer}/{_escape(key)}"
        if key in keywords:
            yield at
        elif key in ("properties", "definitions") and isinstance(part, Mapping):
            for name, inner in part.items():
                yield from _find(inner, f"{at}/{_escape(name)}", keywords)
        elif key not in ("enum", "const", "default", "examples"):
            yield from _find(part, at, keywords)


def _has_rows(example: Any) -> bool:
    output = example.get("output") if isinstance(example, Mapping) else None
    return isinstance(output, Mapping) and bool(output.get("items"))


def _suggested(definition: Definition) -> str:
    """`"columns": {…}` as the first example with rows has them."""
    for example in definition.examples:
        if _has_rows(example) and isinstance(row := example["output"]["items"][0], Mapping):
            columns = {name: {"type": _kind(value)} for name, value in row.items()}
            return f'"columns": {json.dumps(columns, ensure_ascii=False)}'
    return '"columns": {"<name>": {"type": "string", "description": "…"}, …}'


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def _as_identifier(value: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_]", "_", value)
    return text if _IDENTIFIER.fullmatch(text) else f"_{text}"


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


_ACTION: tuple[Callable[[Definition], Found], ...] = (_inputs, _combiners, _columns, _bounds)
_CHECKS: Mapping[str, tuple[Callable[[Definition], Found], ...]] = {
    "genesys-action": _ACTION,
    "ava": (*_ACTION, _described, _agent_tool, _agent_names, _agent_values),
    "guide": (*_ACTION, _described, _guide_inputs),
}
