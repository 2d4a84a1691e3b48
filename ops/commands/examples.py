"""Run the examples of tools as a worker would, and compare their outputs."""

import difflib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from db.catalog import Catalog, Tool
from db.catalog.bind import context_of
from db.catalog.loader import NO_CONTEXT
from db.errors import ToolError, Unavailable
from db.outputs import error_output
from db.pool import Databases
from tasks.query import UNAVAILABLE, answer

_LEFT_MS = 28_000
"""What a run has for its queries when it is accepted and begun at once."""


@dataclass(frozen=True)
class Result:
    """How one example ended; `difference` is empty when it ended as expected."""

    tool: str
    number: int
    took_ms: int
    difference: str


@contextmanager
def opened(urls: Mapping[str, str]) -> Iterator[Databases]:
    """The databases, closed at the end."""
    databases = Databases(urls, max_size=1)
    databases.open()
    try:
        yield databases
    finally:
        databases.close()


def call_tool(
    catalog: Catalog,
    databases: Databases,
    name: str,
    arguments: str,
    bound: Mapping[str, Any] = NO_CONTEXT,
) -> str:
    """
    The tool output of one call, good or error.

    Args:
        bound: What the tool binds, value by property.
    """
    known = catalog.tools.get(name)
    context = context_of(known.bind, bound) if known else {}
    try:
        tool, values = catalog.validate(name, arguments, context)
        return answer(databases, tool, values, _LEFT_MS)
    except ToolError as error:
        return error_output(error)
    except Unavailable:
        return error_output(UNAVAILABLE)


def read_bound(text: str) -> dict[str, Any]:
    """
    Bound values in a JSON object.

    Raises:
        ValueError: It is none.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  (as for what is no JSON)
    return found


def run_examples(catalog: Catalog, databases: Databases, tool: Tool) -> Iterator[Result]:
    """Each example of a tool, in order; they are numbered from 1."""
    for number, example in enumerate(tool.examples, 1):
        began = time.monotonic()
        arguments, bound = json.dumps(example["arguments"]), example.get("bound", {})
        output = call_tool(catalog, databases, tool.name, arguments, bound)
        took_ms = round((time.monotonic() - began) * 1000)
        yield Result(tool.name, number, took_ms, _difference(example, json.loads(output)))


def _difference(example: Mapping[str, Any], found: Any) -> str:
    if "code" in example:
        expected = {"code": example["code"]}
        if isinstance(found, dict) and found.get("code") == example["code"]:
            return ""
    else:
        expected = example["output"]
        if found == expected:
            return ""
    wanted, came = (
        json.dumps(value, indent=2, ensure_ascii=False).splitlines() for value in (expected, found)
    )
    return "\n".join(difflib.unified_diff(wanted, came, "expected", "found", lineterm=""))
