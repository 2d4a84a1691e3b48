"""dramatiq with the same ledger steps in as few messages: a call is one, the last one submits."""

from collections.abc import Sequence
from functools import cache

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import work
from bench.peers.ledger_dramatiq import fan_out_to, ledger, submit_run
from genesys.types import ToolCall
from runtime import settings
from tasks.records import Started


@cache
def setup() -> dramatiq.Actor:  # type: ignore[type-arg]
    """Make the broker and the actors of this process; the first actor of a run."""
    dramatiq.set_broker(RedisBroker(url=settings.load("REDIS_URL").broker()))

    @dramatiq.actor
    def call(run_id: str, key: str, index: int) -> None:
        started = ledger().start(key, 0, index)
        if not isinstance(started, Started):
            return
        output = work.query(started.name, work.validate(started.name, started.arguments))
        recorded = ledger().record(key, 0, index, output, code="ok", took_ms=1)
        if recorded and recorded.left == 0:
            submit_run(run_id, key)

    return fan_out_to(call)


def enqueue(run_id: str, calls: Sequence[ToolCall]) -> None:
    """Accept a run, then publish it: one message, as our receiver does."""
    accepted = ledger().accept(run_id, calls)
    setup().send(run_id, accepted.key)
