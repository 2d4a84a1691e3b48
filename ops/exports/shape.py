"""Contract of a data action, made from a tool: flat inputs, one fixed output, a version."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actions.contract import CONVERSATION_ID
from db.catalog import Tool

DRAFT = "http://json-schema.org/draft-04/schema#"
SIMPLE = ("string", "integer", "number", "boolean")
MESSAGE = "What to say when nothing was found, or when there is more than is listed; else empty."


@dataclass(frozen=True)
class Options:
    """
    What an export needs to know besides the tool.

    Args:
        url: Where the endpoint is, as Genesys reaches it: `https://host`, without a path.

        auth: "header:NAME", "basic" or "bearer".

        is_in_band: Whether errors come as 200 with `error`, `code` and `retryable`: for Architect
            and guides. Virtual agents need the status.

        timeout_s: Of an action, 1 to 60.

        category: Of actions, and the first word of their names.

        integration_id: Of the web-services integration, for the API body.

        has_conversation_id: Whether each action has an input `conversationId` for our logs.
    """

    url: str
    auth: str = "header:X-API-Key"
    is_in_band: bool = False
    timeout_s: int = 10
    category: str = "toolworker"
    integration_id: str = "00000000-0000-0000-0000-000000000000"
    has_conversation_id: bool = False


@dataclass(frozen=True)
class Contract:
    """
    Input and output schema, and the version that names them: a change makes a new action.

    `bound` are the inputs that go into headers; an action made before they did would be refused.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    bound: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Six hex digits over all of it; equal contracts have equal ones."""
        schemas: list[Any] = [self.inputs, self.outputs]
        text = json.dumps([*schemas, *([self.bound] if self.bound else [])], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:6]


def contract(tool: Tool, options: Options) -> Contract:
    """The contract of a tool that passed the lint."""
    return Contract(_inputs(tool, options), _outputs(tool, options), tuple(tool.bind))


def action_name(tool: Tool, options: Options) -> str:
    """`<category> <tool> <version>`: unique, and new when the contract is."""
    return f"{options.category} {tool.name} {contract(tool, options).version}"


def input_type(schema: Any) -> str | None:
    """The one simple type of a property; null beside it is dropped. None when there is no such."""
    if not isinstance(schema, Mapping):
        return None
    kind = schema.get("type")
    kinds = [k for k in (kind if isinstance(kind, list) else [kind]) if k not in ("null", None)]
    if not kinds and "enum" in schema:
        kinds = sorted({_type_of(value) for value in schema["enum"] if value is not None})
    if len(kinds) == 2 and set(kinds) == {"integer", "number"}:
        kinds = ["number"]
    return kinds[0] if len(kinds) == 1 and kinds[0] in SIMPLE else None


def input_description(tool: Tool, name: str) -> str:
    """Text of an input for model and author: description, values and default."""
    schema = tool.parameters["properties"][name]
    texts = [schema.get("description", "").strip()]
    if values := input_values(tool, name):
        texts.append(f"One of {', '.join(map(str, values))}.")
    if "default" in schema:
        texts.append(f"{json.dumps(schema['default'], ensure_ascii=False)} when left out.")
    return " ".join(text for text in texts if text)


def input_values(tool: Tool, name: str) -> list[Any]:
    """The values of a property's enum, under their aliases; none when it has no enum."""
    alias_of = {value: alias for alias, value in tool.aliases.get(name, {}).items()}
    values = tool.parameters["properties"][name].get("enum", [])
    return [alias_of.get(v, v) if isinstance(v, str) else v for v in values if v is not None]


def title(name: str) -> str:
    """`order_number` as people write it."""
    return name.replace("_", " ").replace("-", " ").strip().capitalize() or name


def _inputs(tool: Tool, options: Options) -> dict[str, Any]:
    properties = {
        name: _property(input_type(schema), name, input_description(tool, name))
        for name, schema in tool.parameters.get("properties", {}).items()
    }
    required = list(tool.parameters.get("required", []))
    required += [name for name in tool.bind if name not in required]
    if options.has_conversation_id and CONVERSATION_ID not in properties:
        text = "The conversation, so that its queries can be found in the logs."
        properties[CONVERSATION_ID] = _property("string", "conversation", text)
    return {
        "$schema": DRAFT,
        "title": f"{tool.name} arguments",
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _property(kind: str | None, name: str, description: str) -> dict[str, Any]:
    described = {"description": description} if description else {}
    return {"type": kind, "title": title(name), **described}


def _outputs(tool: Tool, options: Options) -> dict[str, Any]:
    columns = {name: dict(column) for name, column in tool.columns.items()}
    row = {"type": "object", "required": list(columns), "properties": columns}
    properties: dict[str, Any] = {
        "found": {"type": "boolean", "description": "Whether anything was found."},
        "total": {"type": "integer", "description": "How many items there are."},
        "message": {"type": "string", "description": MESSAGE},
        "items": {"type": "array", "description": tool.description, "items": row},
    }
    if options.is_in_band:
        properties |= {
            "error": {"type": "string", "description": "Why there is no answer; else empty."},
            "code": {"type": "string", "description": "The error's code; else empty."},
            "retryable": {"type": "boolean", "description": "Whether the same call can succeed."},
        }
    return {
        "$schema": DRAFT,
        "title": f"{tool.name} result",
        "type": "object",
        "additionalProperties": True,
        "required": list(properties),
        "properties": properties,
    }


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "integer", float: "number"}.get(type(value), "object")
