"""Spans of an ended run, made from its timeline in the ledger; no library, no I/O."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from runtime.trace_context import RunTrace, run_trace

Kind = Literal["internal", "client", "consumer"]

_OF_VALIDATE = frozenset({"invalid_json", "invalid_arguments", "unknown_tool", "forbidden"})
"""Codes of calls that were not queried, unless they took time there."""
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Span:
    """
    One span; times in milliseconds since the epoch, by the ledger's clock.

    Ids are hex digits and always the same; `parent_id` is "" for a root. `error` is the
    `error.type`, "" when all went well.
    """

    name: str
    kind: Kind
    span_id: str
    parent_id: str
    start_ms: int
    end_ms: int
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Trace:
    """All spans of one run, from its delivery or replay to its end, the root first."""

    trace_id: str
    parent_id: str
    spans: tuple[Span, ...]

    @property
    def has_error(self) -> bool:
        """Whether anything of it failed."""
        return any(span.error for span in self.spans)

    @property
    def took_ms(self) -> int:
        """Milliseconds from the delivery, or the replay, to the end."""
        return self.spans[0].end_ms - self.spans[0].start_ms


def trace_of(key: str, entry: Mapping[str, str]) -> Trace:
    """
    The trace of an ended run.

    Args:
        entry: Its timeline, as `EndedRuns.entries` reads it.
    """
    replays = int(entry.get("replays", 0))
    trace = run_trace(key, entry.get("traceparent", ""), replays)
    spans = _Spans(entry, trace)
    return Trace(trace.trace_id, trace.parent_id, (spans.root(), *spans.children()))


class _Spans:
    def __init__(self, entry: Mapping[str, str], trace: RunTrace) -> None:
        self._entry, self._trace = entry, trace
        self._replays = int(entry.get("replays", 0))
        opened = [int(at) for name, at in entry.items() if name.startswith("replayed_at:")]
        self._start = max(opened, default=int(entry["accepted_at"]))
        self._end = max(self._start, int(entry["ended_at"]))
        self._root_id = trace.span_id("run")

    def root(self) -> Span:
        entry = self._entry
        attributes: dict[str, str | int] = {
            "toolworker.run.id": entry["run_id"],
            "toolworker.run.state": entry["state"],
            "toolworker.run.calls": int(entry["calls"]),
            "toolworker.run.generation": int(entry["generation"]),
        }
        if self._replays:
            attributes["toolworker.run.replays"] = self._replays
        error = entry.get("reason", "dead") if entry["state"] == "dead" else ""
        times = (self._start, self._end)
        return Span(
            "run", "consumer", self._root_id, self._trace.parent_id, *times, attributes, error
        )

    def children(self) -> Iterator[Span]:
        accepted = "replay" if self._replays else "receive"
        yield self._child(accepted, self._start, self._start, accepted)
        begun = self._number("begun_at")
        if not begun:
            began = self._number("attempt_at:1") or self._end
            yield self._child("wait", self._start, began, "wait")
        elif begun >= self._start:  # else a replay sends the frozen body again
            yield self._child("wait", self._start, begun, "wait")
        for index in range(int(self._entry["calls"])):
            yield from self._call(index)
        for attempt in range(1, self._number("attempts") + 1):
            yield self._attempt(attempt)
        for step in range(1, min(self._number("steps"), 50) + 1):
            at, what = self._number(f"step_at:{step}"), self._entry.get(f"step:{step}", "")
            if at:
                yield self._child(f"reconcile {what}", at, at, "step", step)

    def _call(self, index: int) -> Iterator[Span]:
        started, ended = self._number(f"started_at:{index}"), self._number(f"ended_at:{index}")
        code = self._entry.get(f"code:{index}", "")
        if code and not started and ended < self._start:
            return  # a replay kept its output: it is in the trace of the first time
        start = max(self._start, started or self._number("begun_at"))
        # no output when the answer went out, or when the run expired
        missed = self._number("attempt_at:1") or self._end
        end = max(start, ended if code else missed)
        name = self._entry.get(f"name:{index}", "")
        # a name that no tool has is the model's invention; a call that ended before the look-up,
        # as by an expired run, may have any text as one
        is_known = code != "unknown_tool" and _TOOL_NAME.fullmatch(name)
        tool = name if is_known else _UNKNOWN
        call_id = self._trace.span_id("call", index)
        unanswered = "timeout" if started else "unavailable"  # the error output's code
        error = "" if code == "ok" else code or unanswered
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": self._entry.get(f"id:{index}", ""),
            "toolworker.call.index": index,
            "toolworker.call.tries": self._number(f"tries:{index}"),
        }
        yield Span(
            f"execute_tool {tool}",
            "internal",
            call_id,
            self._root_id,
            start,
            end,
            attributes,
            error,
        )
        yield from self._tries(index, call_id, end)
        if code and started:
            yield from self._parts(index, tool, call_id, (start, end), code)

    def _tries(self, index: int, call_id: str, end: int) -> Iterator[Span]:
        """The tries before the last one; the process of each has ended, or hung."""
        tries = self._number(f"tries:{index}")
        for number in range(1, tries):
            first = self._number(f"started_at:{index}") if number == 1 else 0
            at = first or self._number(f"try_at:{index}:{number}")
            until = self._number(f"try_at:{index}:{number + 1}") or end
            if at:
                span_id = self._trace.span_id("try", index, number)
                times = (at, max(at, min(until, end)))
                attributes = {"toolworker.call.try": number}
                yield Span("try", "internal", span_id, call_id, *times, attributes, "worker_lost")

    def _parts(
        self, index: int, tool: str, call_id: str, times: tuple[int, int], code: str
    ) -> Iterator[Span]:
        """
        Validate and query of a recorded call: by their durations before its end.

        What lies between the call's start and them is an earlier try, or its wait for one.
        """
        start, end = times
        query_ms, validate_ms = (self._number(f"{n}_ms:{index}") for n in ("took", "validate"))
        in_validate = not query_ms and (code in _OF_VALIDATE or code == "internal_error")
        queried_at = max(start, end - query_ms)
        if query_ms or not in_validate:
            validated_at = max(start, queried_at - validate_ms)
            attributes = {"db.system.name": "postgresql", "db.operation.name": "FETCH"}
            error = "" if code == "ok" else code
            span_id = self._trace.span_id("query", index)
            yield Span(
                f"query {tool}", "client", span_id, call_id, queried_at, end, attributes, error
            )
            error = ""
        else:
            validated_at, error = max(start, end - validate_ms), code
        span_id = self._trace.span_id("validate", index)
        ended = queried_at if not in_validate else end
        yield Span("validate", "internal", span_id, call_id, validated_at, ended, {}, error)

    def _attempt(self, attempt: int) -> Span:
        start = self._number(f"attempt_at:{attempt}")
        took = self._entry.get(f"attempt_took_ms:{attempt}")
        status = self._entry.get(f"attempt_status:{attempt}")
        attributes: dict[str, str | int] = {"http.request.method": "POST"}
        if attempt > 1:
            attributes["http.request.resend_count"] = attempt - 1
        if status:
            attributes["http.response.status_code"] = int(status)
        is_good = status is not None and 200 <= int(status) < 300
        # without an outcome its sender died, or got no answer
        error = "" if is_good else status or "no_answer"
        # its duration is of the sender's clock, and rounded: it may seem to outlast its run
        ended = start + int(took) if took else self._next(attempt)
        return Span(
            "POST",
            "client",
            self._trace.span_id("attempt", attempt),
            self._root_id,
            start,
            max(start, min(self._end, ended)),
            attributes,
            error,
        )

    def _next(self, attempt: int) -> int:
        """When the next attempt began, or the run ended."""
        return self._number(f"attempt_at:{attempt + 1}") or self._end

    def _child(self, name: str, start: int, end: int, *ids: str | int) -> Span:
        ended = max(start, end)  # a clock may have been set back in between
        return Span(name, "internal", self._trace.span_id(*ids), self._root_id, start, ended)

    def _number(self, field_name: str) -> int:
        return int(self._entry.get(field_name, 0))
