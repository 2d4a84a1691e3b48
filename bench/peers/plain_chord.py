"""Peer: a plain Celery chord of chains, with Celery's defaults and no ledger."""

from collections.abc import Sequence

from celery import Celery, chain, chord

from bench.peers import work
from ledger.values import ToolCall

app = Celery("plain_chord", config_source="bench.peers.plain_config")


@app.task
def validate(call: ToolCall) -> tuple[str, str, dict[str, object]]:
    """Id, tool name and values of a call whose arguments fit."""
    name = call["function"]["name"]
    return call["id"], name, work.validate(name, call["function"]["arguments"])


@app.task
def query(validated: tuple[str, str, dict[str, object]]) -> tuple[str, str]:
    """Id and output of a call."""
    call_id, name, values = validated
    return call_id, work.query(name, values)


@app.task
def submit(answers: list[tuple[str, str]] | tuple[str, str], run_id: str) -> None:
    """Send all outputs in one POST."""
    if isinstance(answers[0], str):  # Celery makes a chord of one into a chain
        answers = [answers]
    call_ids, outputs = zip(*answers, strict=True)
    work.post(run_id, work.encode(call_ids, outputs))


def enqueue(run_id: str, calls: Sequence[ToolCall]) -> None:
    """Publish a run as its user would."""
    chord([chain(validate.s(call), query.s()) for call in calls])(submit.s(run_id))
