"""Pages of the tools: catalogue, error codes and durations of calls, failures, a trial call."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, abort, render_template, request

from db.catalog import Tool
from ledger.lines import CallLine, RunLine
from ops.diagnosis.tool_call import call_tool, opened, read_bound
from ops.pages.guard import record
from ops.pages.index import Snapshot
from ops.pages.state import dashboard
from ops.pages.words import printable
from runtime.settings import SettingsError

_LAST_SHOWN = 20
_OUTPUT_SHOWN = 20_000

pages = Blueprint("tools", __name__)


@dataclass
class Usage:
    """How the answered calls of one tool ended; `took_ms` are all durations, unordered."""

    codes: Counter[str] = field(default_factory=Counter)
    took_ms: list[int] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many were answered."""
        return self.codes.total()

    @property
    def errors(self) -> Sequence[tuple[str, int]]:
        """Error codes, the most frequent first."""
        return [(code, n) for code, n in self.codes.most_common() if code != "ok"]

    def percentile(self, percent: int) -> int | None:
        """The duration that so many of a hundred calls stay at or below, in ms."""
        if not self.took_ms:
            return None
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


@pages.get("/tools")
def show_tools() -> str:
    """Every tool of the catalogue, and every other name that was called."""
    observer = dashboard().observer
    snapshot, tools = observer.runs(), observer.tools()
    usage = _usage(snapshot)
    seen = observer.examined()
    return render_template(
        "tools.html",
        tools=sorted(tools.catalog.tools.values(), key=lambda tool: tool.name),
        unknown=sorted(usage.keys() - tools.catalog.tools.keys()),
        usage=usage,
        unused=Usage(),
        mistakes=tools.mistakes,
        digest=tools.catalog.digest,
        digests=seen.value.digests if seen else None,
        failed=_failed(snapshot, None),
        snapshot=snapshot,
        renew_s=10,
    )


@pages.get("/tools/<path:name>")
def show_tool(name: str) -> str:
    """One tool."""
    return _render(name, renew_s=5)


@pages.post("/tools/<path:name>")
def try_tool(name: str) -> str:
    """Run one call as a worker does, and show its output."""
    arguments = request.form.get("arguments", "").strip() or "{}"
    bound = request.form.get("bound", "").strip() or "{}"
    state = dashboard()
    catalog = state.observer.tools().catalog
    if name not in catalog.tools:
        abort(404, "There is no such tool.")
    try:
        bound_values = read_bound(bound)
    except (ValueError, RecursionError):
        abort(400, "The bound values are no JSON object.")
    began = time.monotonic()
    try:
        with opened(state.values.database_urls()) as databases:
            output = call_tool(catalog, databases, name, arguments, bound_values)
    except (SettingsError, KeyError):
        abort(409, "This process has no URL of the tool's database.")
    took_ms = round((time.monotonic() - began) * 1000)
    value = json.loads(output)
    code = value.get("code", "ok") if "error" in value else "ok"
    record("tool_called", tool=name, code=code, took_ms=took_ms)
    text = printable(json.dumps(value, indent=2, ensure_ascii=False))
    ran = {"code": code, "took_ms": took_ms, "bytes": len(output.encode()), "text": text}
    ran["more"] = max(0, len(text) - _OUTPUT_SHOWN)
    ran["text"] = text[:_OUTPUT_SHOWN]
    return _render(name, renew_s=None, ran=ran, arguments=arguments, bound=bound)


def _render(name: str, *, renew_s: int | None, **more: Any) -> str:
    observer = dashboard().observer
    snapshot = observer.runs()
    tool = observer.tools().catalog.tools.get(name)
    usage = _usage(snapshot).get(name)
    if tool is None and usage is None:
        abort(404, "There is no such tool, and none was called by this name.")
    checked = observer.checked(tool) if tool else None
    return render_template(
        "tool.html",
        name=name,
        tool=tool,
        parameters=json.dumps(tool.parameters, indent=2, ensure_ascii=False) if tool else "",
        usage=usage or Usage(),
        checked=checked,
        failed=_failed(snapshot, name),
        snapshot=snapshot,
        renew_s=1 if tool and checked is None and renew_s else renew_s,
        **{
            "ran": None,
            "arguments": _example(tool, "arguments"),
            "bound": _example(tool, "bound"),
            **more,
        },
    )


def _example(tool: Tool | None, part: str) -> str:
    """Arguments, or bound values, to begin with: those of the first example."""
    examples = tool.examples if tool else ()
    return json.dumps(examples[0].get(part, {}), ensure_ascii=False) if examples else "{}"


def _usage(snapshot: Snapshot) -> dict[str, Usage]:
    found: dict[str, Usage] = {}
    for run in snapshot.runs:
        for call in run.calls:
            if call.code:
                usage = found.setdefault(call.tool, Usage())
                usage.codes[call.code] += 1
                usage.took_ms.append(call.took_ms)
    return found


def _failed(snapshot: Snapshot, name: str | None) -> list[tuple[RunLine, int, CallLine]]:
    """The last calls that ended in an error output, newest runs first."""
    found = []
    for run in snapshot.runs:
        for index, call in enumerate(run.calls):
            if call.code not in ("", "ok") and name in (None, call.tool):
                found.append((run, index, call))
                if len(found) == _LAST_SHOWN:
                    return found
    return found
