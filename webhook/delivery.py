"""Parse a delivery's raw bytes into a run, or raise an error that names what is wrong."""

import json
from typing import Any

from db.arguments import object_of
from ledger.values import Delivery, ToolCall
from webhook.errors import BadDelivery

MAX_BODY_BYTES = 1_000_000
"""Twice the limit of a whole submission (512,000 bytes): no real delivery comes near."""
MAX_CALLS = 128
"""Tool calls in one delivery; each is a message, a query and a part of one answer."""
MAX_ID_LENGTH = 256
"""Characters of a run id, call id or tool name; a UUID has 36."""
MAX_DEPTH = 64
"""Objects and lists inside each other in arguments; no form that a model fills in comes near."""


def _integer(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:  # Python reads 4,300 digits, and a field that is ignored may have more
        return float(digits)


# `int` refuses NaN and Infinity, which are not JSON
_DECODER = json.JSONDecoder(parse_constant=int, parse_int=_integer, object_pairs_hook=object_of)
_STRUCTURE = "Invalid payload structure. Expected run_id and tool_calls array."


def read(body: bytes) -> Any:
    """
    The JSON value in a body; an object that has a name twice is a `Repeated`.

    Raises:
        BadDelivery: Not JSON.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise BadDelivery("The body is not UTF-8.") from exc
    try:
        return _DECODER.decode(text)
    except RecursionError as exc:
        raise BadDelivery("The body is nested too deeply.") from exc
    except ValueError as exc:
        raise BadDelivery("The body is not valid JSON.") from exc


def delivery_of(value: Any) -> Delivery:
    """
    The run and its tool calls, in order; unknown fields are left out.

    `arguments` comes back as a JSON string, whatever the sender made of it: an object is written
    as one, nothing at all is `{}`. The string's content is not checked here.

    Raises:
        BadDelivery: Not this structure, or beyond a limit.
    """
    entries = value.get("tool_calls") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not value.get("run_id"):
        raise BadDelivery(_STRUCTURE)
    run_id = _identifier(value["run_id"], "run_id")
    if len(entries) > MAX_CALLS:
        raise BadDelivery(
            f"tool_calls holds {len(entries)} entries; at most {MAX_CALLS} are taken."
        )
    calls = [_tool_call(entry, f"tool_calls[{index}]") for index, entry in enumerate(entries)]
    if len({call["id"] for call in calls}) < len(calls):
        raise BadDelivery("tool_calls holds the same id twice.")
    return {"run_id": run_id, "tool_calls": calls}


def _tool_call(entry: Any, where: str) -> ToolCall:
    if not isinstance(entry, dict):
        raise BadDelivery(f"{where} is not an object.")
    if entry.get("type", "function") != "function":
        raise BadDelivery(f'{where}.type is not "function".')
    function = entry.get("function")
    if not isinstance(function, dict):
        raise BadDelivery(f"{where}.function is missing or not an object.")
    return {
        "id": _identifier(entry.get("id"), f"{where}.id"),
        "type": "function",
        "function": {
            "name": _identifier(function.get("name"), f"{where}.function.name"),
            "arguments": _arguments(function.get("arguments"), f"{where}.function.arguments"),
        },
    }


def _arguments(value: Any, where: str) -> str:
    if value is None or value == "":
        return "{}"
    if isinstance(value, str):
        return value
    if _is_deeper(value, MAX_DEPTH):
        raise BadDelivery(f"{where} is nested deeper than {MAX_DEPTH} levels.")
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as exc:  # infinity: what was written is above 1e308
        raise BadDelivery(f"{where} holds a number that is too large.") from exc


def _is_deeper(value: Any, levels: int) -> bool:
    """Without recursion, whose own limit depends on how deep the caller is."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        inner = (p.values() if isinstance(p, dict) else p for p in level)
        level = [child for part in inner for child in part if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _identifier(value: Any, where: str) -> str:
    """A string that can stand in a URL, a log line and a Redis key."""
    if not isinstance(value, str) or not value:
        raise BadDelivery(f"{where} is missing or not a string.")
    if len(value) > MAX_ID_LENGTH:
        raise BadDelivery(f"{where} is longer than {MAX_ID_LENGTH} characters.")
    if not value.isprintable():
        raise BadDelivery(f"{where} holds a character that cannot be printed.")
    return value
