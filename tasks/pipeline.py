"""The whole flow on one page: fan out a run, validate and query each call, submit the outputs."""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypedDict

import backoff
from celery import chain, chord
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from db.catalog import Tool
from db.errors import ToolError, Unavailable
from db.outputs import error_output
from runtime import logs, metrics
from tasks.envelopes import INDEX, ROUND, envelope, publish
from tasks.links import RunTask
from tasks.query import UNAVAILABLE, answer
from tasks.records import Outputs, Recorded, Started
from tasks.submission import submit_run
from tasks.worker import app, tools

SUBMISSION_S = 20.0
"""What must be left of a message's soft time limit for a submission in its place: a POST of 10 s,
and as much for a token or for a ledger that is away."""
PATIENCE_S = 16.0
"""How long a worker tries to publish: longer than Redis takes to restart."""

_log = logs.get("pipeline")


class RunIds(TypedDict):
    """All that a message of a run carries; arguments, rows and outputs stay in the ledger."""

    run_id: str
    key: str
    generation: int


class Checked(NamedTuple):
    """A started call whose arguments fit its tool."""

    call: Started
    tool: Tool
    values: Mapping[str, Any]


@cache
def _canvas() -> tuple[list[RunTask], RunTask]:
    """
    What becomes of a run: the links of each call's chain, and the chord's body.

    The chain runs where its message is. The ledger counts the chord's parts, and whoever records
    the last output runs the body.
    """
    run = chord([chain(validate.s(), query.s())], submit.s())
    return [link.type for link in run.tasks[0].tasks], run.body.type


@app.task(base=RunTask, name="fan_out", bind=True)
def fan_out(self: RunTask, run_id: str, key: str, generation: int) -> None:
    """Begin the run, or see to what is left of it: one call here, the others elsewhere."""
    ids = RunIds(run_id=run_id, key=key, generation=generation)
    queue = tools().queue
    begun = tools().ledger.begin(
        key,
        generation,
        message="fan_out",
        may_take_over=self.is_again,
        quick=tools().pace.quick(),
        queue=queue,
        call_message=_call_envelope(ids) if queue else "",
    )
    if begun is None:
        return
    if not queue:
        name = f"{key}:{generation}.{begun.round}"
        _publish(call, {f"{name}:call:{i}": {**ids, "index": i} for i in begun.missing})
    _go_on(self, ids, Recorded(left=0 if begun.is_complete else 1, following=begun.taken))


@app.task(base=RunTask, name="call", bind=True)
def call(self: RunTask, run_id: str, key: str, generation: int, index: int) -> None:
    """Take one call in hand and answer it."""
    started = tools().ledger.start(key, generation, index, may_take_over=self.is_again)
    if isinstance(started, Started):
        ids = RunIds(run_id=run_id, key=key, generation=generation)
        _go_on(self, ids, Recorded(left=1, following=started))


def _go_on(message: RunTask, ids: RunIds, recorded: Recorded | None) -> None:
    """Answer one call after another, then submit, if the run's last output came in here."""
    links, body = _canvas()
    while recorded and recorded.following:
        index = recorded.following.index
        recorded = message.run_in_place(links, recorded.following, index, **ids)
    if recorded and recorded.left == 0:
        if message.left_s() >= SUBMISSION_S:
            message.run_in_place([body], recorded.outputs, None, **ids)
        else:
            _publish(body, {f"{ids['key']}:{ids['generation']}:submit": ids})


@app.task(name="validate")
def validate(call: Started, run_id: str, key: str, generation: int) -> Checked | Recorded | None:
    """Hold a call's arguments against its tool's schema."""
    try:
        if call.is_poison:
            raise ToolError("internal_error", "The tool failed. Do not try the same call again.")
        return Checked(call, *tools().catalog.validate(call.name, call.arguments))
    except ToolError as error:
        ids = RunIds(run_id=run_id, key=key, generation=generation)
        return _record(ids, call, error_output(error), code=error.code, took_ms=0)


@app.task(name="query")
def query(
    checked: Checked | Recorded | None, run_id: str, key: str, generation: int
) -> Recorded | None:
    """Ask Postgres and record what the model is told, unless validate has."""
    if not isinstance(checked, Checked):
        return checked
    started = time.monotonic()
    call, tool, values = checked
    try:
        output, code = answer(tools().databases, tool, values, call.left_ms), "ok"
    except ToolError as error:
        output, code = error_output(error), error.code
    except Unavailable:
        if tools().ledger.release(key, generation, call):
            return None  # it is due again soon, and holds no slot meanwhile
        output, code = error_output(UNAVAILABLE), UNAVAILABLE.code
    took_ms = (time.monotonic() - started) * 1000
    tools().pace.note(tool.name, took_ms)
    ids = RunIds(run_id=run_id, key=key, generation=generation)
    return _record(ids, call, output, code=code, took_ms=round(took_ms))


@app.task(base=RunTask, name="submit")
def submit(outputs: Outputs | None = None, *, run_id: str, key: str, generation: int) -> None:
    """Send all outputs in one POST, unless another sender has done so or will."""
    submit_run(tools().ledger, tools().genesys, key, generation, outputs)


def _call_envelope(ids: RunIds) -> str:
    name = f"{ids['key']}:{ids['generation']}.{ROUND}"
    return envelope(call, f"{name}:call:{INDEX}", {**ids, "index": INDEX})


# what may have been published twice is harmless
@backoff.on_exception(
    backoff.expo,
    (KombuError, RedisError, OSError),
    max_time=PATIENCE_S,
    factor=0.1,
    max_value=2,
    jitter=None,
    logger=None,
)
def _publish(task: RunTask, messages: Mapping[str, Mapping[str, Any]]) -> None:
    if messages:
        publish(task, messages)


def _record(ids: RunIds, call: Started, output: str, *, code: str, took_ms: int) -> Recorded | None:
    recorded = tools().ledger.record(
        ids["key"],
        ids["generation"],
        call.index,
        output,
        code=code,
        took_ms=took_ms,
        message=call.message,
    )
    # the model may ask for a tool of any name: only those that exist are told apart
    tool = call.name if code != "unknown_tool" and not call.is_poison else ""
    if recorded is not None:
        metrics.observe("tool_call_seconds", took_ms / 1000, tool=tool, code=code)
    _log.info(
        "call.recorded" if recorded is not None else "call.dropped",
        run_id=ids["run_id"],
        key=ids["key"],
        index=call.index,
        tool_call_id=call.call_id,
        tool=tool,
        code=code,
        took_ms=took_ms,
        bytes=len(output),
    )
    return recorded
