"""Run the examples of tools as a worker would, and compare their outputs."""

import difflib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from db.catalog import Catalog, Tool
from db.pool import Databases
from ops.diagnosis.tool_call import call_tool


@dataclass(frozen=True)
class Result:
    """How one example ended; `difference` is empty when it ended as expected."""

    tool: str
    number: int
    took_ms: int
    difference: str


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
