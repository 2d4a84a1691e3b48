"""Export tools for an agentic virtual agent: `types`, `tools`, and their common error types."""

import re
from typing import Any

from actions.contract import CONVERSATION_ID
from db.catalog import Tool
from ops.exports.shape import MESSAGE, Options, action_name, contract, input_type, input_values

ACTION_ID = "REPLACE-WITH-THE-ID-OF-THE-ACTION"
"""Genesys gives it when the action is made: `custom_-_<uuid>`."""

ERRORS = (
    ("BadArguments", (400, 413), "Ask again for the value that did not fit, then try once more."),
    ("NotAllowed", (401, 403), "Say that the system is not available and offer a person."),
    ("Busy", (429, 503), "Say that it takes a moment and try once more; then offer a person."),
    ("Broken", (404, 405, 500), "Do not try again. Offer a person."),
)
"""Name, statuses, instruction. A status may be in one type of the whole agent; docs/errors.md."""

_WORD = re.compile(r"[A-Za-z0-9]+")


def shared() -> dict[str, Any]:
    """Types that all tools of an agent refer to."""
    return {
        "types": [
            {
                "name": name,
                "type": "DataActionHttpError",
                "statusCodes": list(statuses),
                "defaultInstruction": instruction,
            }
            for name, statuses, instruction in ERRORS
        ]
    }


def definition(tool: Tool, options: Options) -> dict[str, Any]:
    """One tool and its types, to be put beside those of the others."""
    name = tool_name(tool.name)
    properties = contract(tool, options).inputs["properties"]
    required = contract(tool, options).inputs["required"]
    external = {CONVERSATION_ID, *tool.bind}
    return {
        "types": [
            *(_input_type(tool, prop, schema) for prop, schema in properties.items()),
            *_output_types(tool),
        ],
        "tools": [
            {
                "type": "DataAction",
                "name": name,
                "description": tool.description,
                "target": {"id": ACTION_ID, "name": action_name(tool, options)},
                "inputs": [
                    {
                        "targetName": prop,
                        "type": type_name(tool.name, prop),
                        # the model fills what comes from the user; who calls is for the flow to set
                        "source": "External" if prop in external else "User",
                        "required": prop in required,
                    }
                    for prop in properties
                ],
                "output": type_name(tool.name, "result"),
                "errors": [{"type": error} for error, _, _ in ERRORS],
                # "True" is the one condition that is known to work at run time
                "outputInstructions": [
                    {
                        "type": "Python",
                        "when": "True",
                        "then": "If found is false, say what message says.",
                    }
                ],
            }
        ],
    }


def tool_name(name: str) -> str:
    """`search_inventory` as `SearchInventory`."""
    return "".join(word[0].upper() + word[1:] for word in _WORD.findall(name))


def type_name(tool: str, part: str) -> str:
    """The type of one input or output of a tool: `SearchInventoryWarehouse`."""
    return tool_name(tool) + tool_name(part)


def _input_type(tool: Tool, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    found = {
        "name": type_name(tool.name, name),
        "type": schema["type"],
        "direction": "Input",
        "description": schema.get("description", ""),
    }
    known = tool.parameters.get("properties", {})
    values = input_values(tool, name) if name in known else []
    if values and input_type(known[name]) == "string":
        found["enum"] = values
    return found


def _output_types(tool: Tool) -> list[dict[str, Any]]:
    row, result = type_name(tool.name, "item"), type_name(tool.name, "result")
    columns = [
        {"name": name, "required": True, "description": column.get("description", "")}
        | {"type": column["type"]}
        for name, column in tool.columns.items()
    ]
    fields = [
        {"name": "found", "type": "boolean", "description": "Whether anything was found."},
        {"name": "total", "type": "integer", "description": "How many items there are."},
        {"name": "message", "type": "string", "description": MESSAGE},
        {"name": "items", "type": "array", "items": row, "description": tool.description},
    ]
    return [
        {"name": row, "type": "object", "direction": "Output", "properties": columns},
        {
            "name": result,
            "type": "object",
            "direction": "Output",
            "properties": [{**field, "required": True} for field in fields],
        },
    ]
