"""Simulated virtual agent: the validation of its definition, and its calls of tools."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MAX_TOOLS = 25
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    {"Boolean", "Dynamic", "Integer", "List", "Map", "None", "Number", "String", "Unknown"}
    | {"type", "dict", "tuple", "list"}
)
_SIMPLE = frozenset({"string", "integer", "number", "boolean"})
_PYTHON: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """One definition from several with `types` and `tools`."""
    return {key: [e for part in parts for e in part.get(key, ())] for key in ("types", "tools")}


def problems(definition: Mapping[str, Any]) -> list[str]:
    """Everything wrong with `types` and `tools`, a sentence each."""
    types = {entry["name"]: entry for entry in definition["types"]}
    twice = [n for n, c in Counter(e["name"] for e in definition["types"]).items() if c > 1]
    found = [f"the type {name} is there twice" for name in twice]
    for entry in types.values():
        found += _type(entry, types)
    statuses = Counter(s for entry in types.values() for s in entry.get("statusCodes", ()))
    found += [f"{status} is in {count} types" for status, count in statuses.items() if count > 1]
    if len(definition["tools"]) > MAX_TOOLS:
        found.append(f"an agent has at most {MAX_TOOLS} tools")
    names = Counter(tool["name"] for tool in definition["tools"])
    found += [f"the tool {name} is there twice" for name, count in names.items() if count > 1]
    for tool in definition["tools"]:
        found += _tool(tool, types)
    return found


def call(
    definition: Mapping[str, Any],
    name: str,
    arguments: Mapping[str, Any],
    run: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> dict[str, Any]:
    """
    Call a tool as an agent does.

    Args:
        arguments: What the model found for the inputs.

        run: Runs the tool's action with inputs, and returns what `simulator.actions.run` does.

    Returns:
        `output`, or `error` (the name of its type) and `instruction`; the body of an error is lost.

    Raises:
        ValueError: The model found what no input takes.
    """
    types = {entry["name"]: entry for entry in definition["types"]}
    (tool,) = [tool for tool in definition["tools"] if tool["name"] == name]
    known = {entry["targetName"]: types[entry["type"]] for entry in tool["inputs"]}
    for target, value in arguments.items():
        if target not in known or not _takes(known[target], value):
            raise ValueError(f"{target} does not take that")
    ended = run(arguments)
    if ended["path"] == "Success":
        return {"output": ended["output"]}
    for entry in tool["errors"]:
        kind = types[entry["type"]]
        if ended["status"] in kind["statusCodes"]:
            instruction = entry.get("instruction", kind["defaultInstruction"])
            return {"error": kind["name"], "instruction": instruction}
    return {"error": "", "instruction": ""}


def _takes(kind: Mapping[str, Any], value: Any) -> bool:
    if isinstance(value, bool) and kind["type"] != "boolean":
        return False
    return isinstance(value, _PYTHON[kind["type"]]) and value in kind.get("enum", [value])


def _type(entry: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[str]:
    name, kind = entry["name"], entry["type"]
    if not _IDENTIFIER.fullmatch(name):
        yield f"{name} is no identifier"
    if kind == "DataActionHttpError":
        if not all(400 <= status <= 599 for status in entry["statusCodes"]):
            yield f"{name}: a status is 4xx or 5xx"
        if not entry.get("defaultInstruction"):
            yield f"{name} has no instruction"
        return
    if entry.get("direction") not in ("Input", "Output", "AgentInput", "AgentOutput"):
        yield f"{name} has no direction"
    for value in entry.get("enum", ()):
        if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
            yield f"{name}: {value!r} is no identifier"
    for part in entry.get("properties", ()):
        if part["name"] in _RESERVED or "." in part["name"]:
            yield f"{name}: {part['name']} is reserved"
        if part["type"] == "array":
            if types.get(part.get("items"), {}).get("direction") != entry["direction"]:
                yield f"{name}: the items of {part['name']} name a type of the same direction"
        elif part["type"] not in _SIMPLE and part["type"] not in types:
            yield f"{name}: {part['type']} is no type"


def _tool(tool: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[str]:
    name = tool["name"]
    if not 3 <= len(name) <= 100:
        yield f"{name}: a name has 3 to 100 characters"
    if not 1 <= len(tool["description"]) <= 500:
        yield f"{name}: a description has 1 to 500 characters"
    if not tool["inputs"]:
        yield f"{name} has no inputs and would be dropped"
    for entry in tool["inputs"]:
        if entry["targetName"] in _RESERVED:
            yield f"{name}: {entry['targetName']} is reserved"
        if types.get(entry["type"], {}).get("direction") != "Input":
            yield f"{name}: {entry['type']} is no type for an input"
        if not types.get(entry["type"], {}).get("description"):
            yield f"{name}: {entry['type']} has no description"
    if types.get(tool["output"], {}).get("direction") != "Output":
        yield f"{name}: {tool['output']} is no type for an output"
    if not tool["errors"]:
        yield f"{name} has no errors"
    for entry in tool["errors"]:
        if types.get(entry["type"], {}).get("type") != "DataActionHttpError":
            yield f"{name}: {entry['type']} is no type of errors"
