"""The flow of a run on one page: fan out its calls, validate and query each, submit the outputs."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from celery import chain, chord
from celery.exceptions import SoftTimeLimitExceeded

from db.catalog import Tool
from db.errors import ToolError, Unavailable
from db.faults import faults_as_answers
from db.outputs import error_output
from ledger.values import Begun, Started
from runtime import logs, metrics
from tasks.app import FIRST_CALLS, app
from tasks.base import Message, RunTask
from tasks.query import UNAVAILABLE, answer
from tasks.resources import resources
from tasks.submission import submit_run

FURTHER_CALLS_QUEUE = "toolworker.further"
SUBMISSION_S = 20.0
"""Seconds of a message's soft time limit that a submission in place needs: a POST of 10 s, and as
much for a token or a ledger that is unavailable."""
_BEHIND: dict[str, Any] = {"here": True}
"""Options of a link that runs in place behind the task that applies it (`tasks/base.py`)."""

_log = logs.get("pipeline")


class RunIds(TypedDict):
    """All that a message of a run carries; arguments, rows and outputs stay in the ledger."""

    run_id: str
    key: str
    generation: int


class Checked(NamedTuple):
    """A leased call whose arguments fit its tool."""

    call: Started
    tool: Tool
    values: Mapping[str, Any]
    validate_ms: int


@app.task(base=RunTask, name="fan_out", bind=True)
def fan_out(self: RunTask, run_id: str, key: str, generation: int) -> None:
    """Send the chord of a run: its missing calls, and the submission after the last of them."""
    ids, message = RunIds(run_id=run_id, key=key, generation=generation), self.work.message
    begun = resources().ledger.begin(
        key, generation, message=message.task_id, may_take_over=message.owner_died
    )
    if begun is None:
        return
    if begun.is_complete:
        _submit(ids).apply_async()
    elif begun.missing:
        header = [_chain(ids, begun, place, message) for place in range(len(begun.missing))]
        chord(header, task_id=f"{key}:{generation}.{begun.round}")(_submit(ids))


def _chain(ids: RunIds, begun: Begun, place: int, front: Message) -> Any:
    """Validate and query one call; the first call runs in place, the others are messages."""
    index = begun.missing[place]
    name = f"{ids['key']}:{ids['generation']}.{begun.round}"
    lease = {"lease": front.task_id} if place == 0 else {}
    options = dict(_BEHIND) if place == 0 else {}
    if place >= FIRST_CALLS:
        options["queue"] = FURTHER_CALLS_QUEUE
    return chain(
        validate.si(**ids, index=index, **lease).set(task_id=f"{name}:validate:{index}", **options),
        query.s(**ids, index=index).set(task_id=f"{name}:query:{index}", **_BEHIND),
    )


def _submit(ids: RunIds) -> Any:
    return submit.si(**ids).set(task_id=f"{ids['key']}:{ids['generation']}:submit", **_BEHIND)


@app.task(base=RunTask, name="validate", bind=True)
def validate(
    self: RunTask, run_id: str, key: str, generation: int, index: int, lease: str = ""
) -> str | int | None:
    """
    Lease a call and check its arguments.

    Args:
        lease: The message that holds the lease, of a validate that runs behind it, or that is
            retried as a message of its own; else this task's own.

    Returns:
        The message that holds the lease, for query; how many outputs are missing, if the call ends
        here with an error output; or None when there is nothing to do.
    """
    ids = RunIds(run_id=run_id, key=key, generation=generation)
    lease = lease or self.work.message.task_id
    checked = _check(self, ids, index, lease)
    if not isinstance(checked, Checked):
        return checked
    self.work.handed_over = checked
    return lease


@app.task(base=RunTask, name="query", bind=True)
def query(
    self: RunTask, lease: str | int | None, run_id: str, key: str, generation: int, index: int
) -> int | None:
    """Query Postgres and record the output; the value is how many outputs are missing."""
    if not isinstance(lease, str):
        return lease
    ids = RunIds(run_id=run_id, key=key, generation=generation)
    # a query that became a message, for a retry, counts a try like any other
    checked = self.work.handed_over or _check(self, ids, index, lease)
    if not isinstance(checked, Checked):
        return checked
    started = time.monotonic()
    call, tool, values, _ = checked
    names = {"run_id": run_id, "key": key, "tool": tool.name, "tool_call_id": call.call_id}
    logs.begin(**names, trace_id=call.trace.trace_id)
    try:
        traceparent = call.trace.traceparent("query", index)
        output = answer(resources().databases, tool, values, call.left_ms, traceparent=traceparent)
        code = "ok"
    except ToolError as error:
        output, code = error_output(error), error.code
    except Unavailable:
        if resources().ledger.release(key, generation, call):
            return None  # due again soon, and it holds no slot meanwhile
        output, code = error_output(UNAVAILABLE), UNAVAILABLE.code
    return _record(
        ids, call, output, code, validate_ms=checked.validate_ms, query_ms=_ms_since(started)
    )


@app.task(base=RunTask, name="submit", bind=True, needs_s=SUBMISSION_S)
def submit(self: RunTask, run_id: str, key: str, generation: int) -> None:
    """Send all outputs in one POST, unless another sender has done so or will."""
    submit_run(resources().ledger, resources().genesys, key, generation)


@app.task(base=RunTask, name="call", bind=True)
def call(self: RunTask, run_id: str, key: str, generation: int, index: int) -> None:
    """One call of a run, as the last release published it: its messages may still be queued."""
    ids, message = RunIds(run_id=run_id, key=key, generation=generation), self.work.message
    begun = Begun(round=0, missing=(index,), is_complete=False)
    chord([_chain(ids, begun, 0, message)], task_id=f"{message.task_id}:chord")(_submit(ids))


def _check(task: RunTask, ids: RunIds, index: int, lease: str) -> Checked | int | None:
    """Lease a call and check its arguments; an error output is recorded at once."""
    started, message = time.monotonic(), task.work.message
    # behind another task there was no message of its own
    has_message = message.task_id == task.request.id
    queue = (task.request.delivery_info or {}).get("routing_key") if has_message else None
    leased = resources().ledger.start(
        ids["key"],
        ids["generation"],
        index,
        message=lease,
        queue=queue or "",
        may_take_over=message.owner_died,
    )
    if not isinstance(leased, Started):
        return leased
    logs.bind(trace_id=leased.trace.trace_id, tool_call_id=leased.call_id)
    try:
        if leased.is_poison:
            raise ToolError("internal_error", "The tool failed. Do not try the same call again.")
        with faults_as_answers(SoftTimeLimitExceeded):
            known = resources().catalog
            tool, values = known.validate(leased.name, leased.arguments, leased.context)
        return Checked(leased, tool, values, _ms_since(started))
    except ToolError as error:
        output, took_ms = error_output(error), _ms_since(started)
        return _record(ids, leased, output, error.code, validate_ms=took_ms, query_ms=0)


def _record(ids: RunIds, call: Started, output: str, code: str, **took: int) -> int | None:
    left = resources().ledger.record(
        ids["key"], ids["generation"], call.index, output, owner=call.owner, code=code, **took
    )
    # the model may invent any name: only those of tools that exist become labels
    tool = call.name if code != "unknown_tool" and not call.is_poison else ""
    if left is not None:
        metrics.observe_call(took["query_ms"] / 1000, tool=tool, code=code)
    names = {"run_id": ids["run_id"], "key": ids["key"], "tool_call_id": call.call_id, "tool": tool}
    facts = {"index": call.index, "took_ms": took["query_ms"], "bytes": len(output)}
    _log.info("call.dropped" if left is None else "call.recorded", **names, code=code, **facts)
    return left


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
