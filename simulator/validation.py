"""Validation of requests to the simulator: submissions, and orders under /_sim."""

import json
from typing import Any

LIMITS = ("requests_per_minute", "token_lifetime_s")

Fault = int | str | dict[str, Any]


class BadOrder(Exception):
    """An order under /_sim that cannot be carried out; the message names what."""


def check_faults(faults: Any) -> None:
    """
    Raises:
        BadOrder: Not `{"submit": [...], "token": [...]}`, or an entry that is no fault.
    """
    if not isinstance(faults, dict) or not set(faults) <= {"submit", "token"}:
        raise BadOrder('faults are {"submit": [...], "token": [...]}')
    for entries in faults.values():
        if not isinstance(entries, list) or not all(map(_is_fault, entries)):
            raise BadOrder(
                'a fault is a status, "timeout", "drop", or '
                '{"status": ..., "retry_after": ..., "delay_s": ..., "code": ..., "message": ...}'
            )


def check_limits(limits: Any) -> None:
    """
    Raises:
        BadOrder: A limit that does not exist, or one that is no number.
    """
    if not isinstance(limits, dict) or not set(limits) <= set(LIMITS):
        raise BadOrder(f"limits are {' and '.join(LIMITS)}")
    if not all(_is_number(value) for value in limits.values()):
        raise BadOrder("a limit is a number, 0 or more")


def shape_error(body: Any, expected: list[str] | None) -> str | None:
    """What is wrong with a submission, judged strictly when the run was delivered from here."""
    outputs = next(
        (body[k] for k in ("tool_calls", "tool_outputs") if isinstance(body, dict) and k in body),
        None,
    )
    if not isinstance(outputs, list):
        return "tool_calls must be an array."
    for output in outputs:
        if not isinstance(output, dict) or not isinstance(output.get("tool_call_id"), str):
            return "Each entry must be an object with a tool_call_id."
        if not isinstance(output.get("output"), str):
            return f"The output of {output['tool_call_id']} must be a string."
    ids = [output["tool_call_id"] for output in outputs]
    if expected is not None and sorted(ids) != sorted(expected):
        return f"Expected tool outputs for call_ids {expected}, got {ids}"
    return None


def loads(raw: bytes) -> Any:
    """The JSON value in *raw*, or None when it is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _is_fault(entry: Any) -> bool:
    if isinstance(entry, dict):
        waits = [entry.get("retry_after") or 0, entry.get("delay_s", 0)]
        texts = [entry.get("code", ""), entry.get("message", "")]
        return (
            _is_status(entry.get("status"))
            and all(map(_is_number, waits))
            and all(isinstance(text, str) for text in texts)
        )
    return _is_status(entry) or entry in ("timeout", "drop")


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and 200 <= value <= 599


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
