"""Genesys' JSON as typed dicts: deliveries and the outputs of a submission."""

from typing import Literal, TypedDict


class FunctionCall(TypedDict):
    """The function that the model calls; `arguments` is a JSON string."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One question of a run."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class Delivery(TypedDict):
    """The body of one webhook POST."""

    run_id: str
    tool_calls: list[ToolCall]


class ToolOutput(TypedDict):
    """The answer to one tool call; `output` is a JSON string, good or error."""

    tool_call_id: str
    output: str
