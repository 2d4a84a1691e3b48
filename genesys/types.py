"""Genesys' JSON bodies as typed dicts."""

from typing import TypedDict


class ToolOutput(TypedDict):
    """The answer to one tool call; `output` is a JSON string, good or error."""

    tool_call_id: str
    output: str
