"""Request and response shapes of a data action: the arguments, and the fixed output."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from db import arguments, outputs
from db.catalog import Tool
from db.catalog.bind import action_header, header_text
from db.errors import ToolError
from db.values import exact

PATH = "/genesys/actions"
"""Path of the endpoint; the tool's name follows it."""
MAX_ANSWER_BYTES = 250_000
"""Genesys' limit for web services is not published; for functions it advises at most 256 KB."""
CONVERSATION_ID = "conversationId"
"""An argument for our logs; an action fills it so that a caller's query can be found again."""


def read_arguments(tool: Tool, body: bytes) -> tuple[str, str]:
    """
    The arguments in a request's body, as the tool's schema has them.

    null and "" of an optional argument are dropped: Architect and users send them for "nothing".
    Aliases become the values they stand for.

    Returns:
        The arguments as JSON, and the conversation's id, "" if there is none.

    Raises:
        ToolError: `invalid_json`, `invalid_arguments` or `too_large`; `forbidden` for a name that
            is bound.
    """
    try:
        given = arguments.parse(body.decode("utf-8"), reject=tool.reject_bound)
    except UnicodeDecodeError:
        raise ToolError("invalid_json", "The arguments are not UTF-8.") from None
    properties = tool.model_parameters.get("properties", {})
    optional = set(properties) - set(tool.model_parameters.get("required", []))
    conversation = given.get(CONVERSATION_ID)
    kept = {
        name: _value(tool, name, value)
        for name, value in given.items()
        if not (name in optional and value in (None, ""))
        and not (name == CONVERSATION_ID and name not in properties)
    }
    return outputs.dump(exact(kept)), conversation if isinstance(conversation, str) else ""


def bound_texts(tool: Tool, headers: Mapping[str, str]) -> dict[str, str]:
    """
    The texts of the tool's bound properties, from `X-Toolworker-Bind-<name>`.

    Args:
        headers: Of a request that was authorized; one character a byte, names in lower case.
    """
    found = {}
    for name in tool.bind:
        text = header_text(headers.get(action_header(name).lower(), ""))
        if text:
            found[name] = text
    return found


def answer(tool: Tool, output: str) -> dict[str, Any]:
    """
    The answer of an action: always `found`, `total`, `message` and `items`, none of them null.

    Args:
        output: The tool output of the same call, no error.

    Raises:
        ToolError: `query_failed`: a row does not have the types that `columns` declares.
    """
    value = json.loads(output, parse_float=Decimal)
    items = value.get("items", [])
    message = value.get("message", "" if items else "Nothing was found.")
    if value.get("truncated"):
        message = f"Only the first {len(items)} are listed; there are more."
    rows = [_row(tool, item) for item in items]
    return {"found": bool(rows), "total": len(rows), "message": message, "items": rows}


def text(value: Mapping[str, Any]) -> str:
    """Compact JSON; a Decimal keeps all its digits."""
    return outputs.dump(value)


def _value(tool: Tool, name: str, value: Any) -> Any:
    aliases = tool.aliases.get(name, {})
    return aliases.get(value, value) if isinstance(value, str) else value


def _row(tool: Tool, item: Mapping[str, Any]) -> dict[str, Any]:
    """Every declared column, in its order; a key that is missing would shift flattened columns."""
    row = dict(item)
    for name, column in tool.columns.items():
        row[name] = _column(column["type"], item.get(name))
    return row


def _column(kind: str, value: Any) -> Any:
    if kind == "string":
        if value is None:
            return ""
        return value if isinstance(value, str) else outputs.dump(value)
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if kind == "integer" and isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    fits = {
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": is_number,
        "boolean": isinstance(value, bool),
    }
    if not fits[kind]:
        raise ToolError("query_failed", "The tool's query failed. Do not try the same call again.")
    return value
