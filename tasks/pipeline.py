"""The whole flow on one page: fan out a run, validate and query each call, submit the outputs."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from celery import chain, chord

from db.catalog import Tool
from db.errors import ToolError, Unavailable
from db.outputs import error_output
from runtime import logs, metrics
from tasks.links import Link, RunTask
from tasks.query import UNAVAILABLE, answer
from tasks.records import Started
from tasks.submission import submit_run
from tasks.worker import app, tools

_log = logs.get("pipeline")


class RunIds(TypedDict):
    """All that a message of a run carries; arguments, rows and outputs stay in the ledger."""

    run_id: str
    key: str
    generation: int


class CallInHand(NamedTuple):
    """A started call whose arguments fit its tool."""

    call: Started
    tool: Tool
    values: Mapping[str, Any]


# From validate to query, which runs in place right behind it: nothing of it goes over the broker.
_in_hand: dict[tuple[str, int, int], CallInHand] = {}


@app.task(base=RunTask, name="fan_out")
def fan_out(run_id: str, key: str, generation: int) -> None:
    """Begin the run, or fan out what an earlier fan-out left undone."""
    begun = tools().ledger.begin(key, generation)
    if begun is None:
        return
    ids = RunIds(run_id=run_id, key=key, generation=generation)
    name = f"{key}:{generation}.{begun.round}"
    last = submit.si(**ids).set(task_id=f"{name}:submit")
    if begun.missing:
        header = [
            chain(
                validate.si(**ids, index=index).set(task_id=f"{name}:validate:{index}"),
                query.si(**ids, index=index).set(task_id=f"{name}:query:{index}"),
            )
            for index in begun.missing
        ]
        chord(header)(last)
    elif begun.is_complete:
        last.apply_async()


@app.task(base=Link, name="validate", bind=True)
def validate(self: Link, run_id: str, key: str, generation: int, index: int) -> int:
    """Take one call in hand and hold its arguments against its tool's schema."""
    redelivered = bool(
        self.request.retries or (self.request.delivery_info or {}).get("redelivered")
    )
    call = tools().ledger.start(key, generation, index, may_take_over=redelivered)
    try:
        if call == "poison":
            raise ToolError("internal_error", "The tool failed. Do not try the same call again.")
        if isinstance(call, Started):
            tool, values = tools().catalog.validate(call.name, call.arguments)
            _in_hand[key, generation, index] = CallInHand(call, tool, values)
    except ToolError as error:
        started = call if isinstance(call, Started) else None
        ids = RunIds(run_id=run_id, key=key, generation=generation)
        _record(ids, index, started, error_output(error), code=error.code, took_ms=0)
    return index


@app.task(base=RunTask, name="query")
def query(run_id: str, key: str, generation: int, index: int) -> int:
    """Ask Postgres and record what the model is told; nothing to do when validate had nothing."""
    in_hand = _in_hand.pop((key, generation, index), None)
    if in_hand is None:
        return index
    started = time.monotonic()
    call, tool, values = in_hand
    try:
        output, code = answer(tools().databases, tool, values, call.left_ms), "ok"
    except ToolError as error:
        output, code = error_output(error), error.code
    except Unavailable:
        if tools().ledger.release(key, generation, index, call):
            return index  # the run is due again soon, and the chord's body finds it incomplete
        output, code = error_output(UNAVAILABLE), UNAVAILABLE.code
    took_ms = round((time.monotonic() - started) * 1000)
    ids = RunIds(run_id=run_id, key=key, generation=generation)
    _record(ids, index, call, output, code=code, took_ms=took_ms)
    return index


@app.task(base=RunTask, name="submit")
def submit(run_id: str, key: str, generation: int) -> None:
    """Send all outputs in one POST, unless another sender has done so or will."""
    submit_run(tools().ledger, tools().genesys, key, generation)


def _record(
    ids: RunIds, index: int, call: Started | None, output: str, *, code: str, took_ms: int
) -> None:
    key, generation = ids["key"], ids["generation"]
    left = tools().ledger.record(key, generation, index, output, code=code, took_ms=took_ms)
    # the model may ask for a tool of any name: only those that exist are told apart
    tool = call.name if call and code != "unknown_tool" else ""
    if left is not None:
        metrics.observe("tool_call_seconds", took_ms / 1000, tool=tool, code=code)
    _log.info(
        "call.recorded" if left is not None else "call.dropped",
        run_id=ids["run_id"],
        key=key,
        index=index,
        tool_call_id=call.call_id if call else None,
        tool=tool,
        code=code,
        took_ms=took_ms,
        bytes=len(output),
    )
