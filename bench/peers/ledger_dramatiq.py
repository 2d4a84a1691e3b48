"""Peer: dramatiq actors with this project's ledger steps, since dramatiq has no ledger."""

import os
from collections.abc import Sequence
from functools import cache

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import work
from ledger import Ledger, connect
from ledger.values import Claim, Started, ToolCall
from runtime import settings


@cache
def ledger() -> Ledger:
    """The ledger of this process, with this project's times."""
    values = settings.load("REDIS_URL")
    return Ledger(
        connect(values.ledger(), timeout_s=5, retries=6),
        answer_by_s=values.run_answer_by_s,
        expires_s=values.run_expires_s,
        retention_s=values.run_retention_s,
        dead_letter_retention_s=values.dead_letter_retention_s,
        max_wait_s=values.run_max_wait_s,
        max_waiting=values.run_max_waiting,
    )


@cache
def setup() -> dramatiq.Actor:  # type: ignore[type-arg]
    """Make the broker and the actors of this process; the first actor of a run."""
    dramatiq.set_broker(RedisBroker(url=settings.load("REDIS_URL").broker()))

    @dramatiq.actor
    def validate(run_id: str, key: str, index: int) -> None:
        call = ledger().start(key, 0, index, message=f"{key}:{index}")
        if isinstance(call, Started):
            query.send(run_id, key, index, call.name, work.validate(call.name, call.arguments))

    @dramatiq.actor
    def query(run_id: str, key: str, index: int, name: str, values: dict[str, object]) -> None:
        output = work.query(name, values)
        owner = f"{os.getpid()}:{index}"
        if ledger().record(key, 0, index, output, owner=owner, code="ok", query_ms=1) == 0:
            submit.send(run_id, key)

    @dramatiq.actor
    def submit(run_id: str, key: str) -> None:
        submit_run(run_id, key)

    @dramatiq.actor
    def fan_out(run_id: str, key: str) -> None:
        begun = ledger().begin(key, 0)
        for index in begun.missing if begun else ():
            validate.send(run_id, key, index)

    return fan_out


def submit_run(run_id: str, key: str) -> None:
    """Send all outputs in one POST, by the ledger's steps."""
    found = ledger().outputs(key, 0)
    if found is None:
        return
    body = work.encode(found.call_ids, [output or "" for output in found.outputs])
    owner = f"{os.getpid()}:{run_id}"
    if isinstance(ledger().claim(key, 0, body, seen=found.count, owner=owner), Claim):
        status = work.post(run_id, body)
        ledger().finish(key, 0, {"status": status, "took_ms": 1})


def enqueue(run_id: str, calls: Sequence[ToolCall]) -> None:
    """Accept a run, then publish it: one message, as our receiver does."""
    accepted = ledger().accept(run_id, calls)
    setup().send(run_id, accepted.key)
