"""dramatiq with the hops of the chord and a join in Lua; of a run only its outputs are kept."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from bench.peers import work
from genesys.types import ToolCall
from runtime import settings

_JOIN = (Path(__file__).parent / "join.lua").read_text(encoding="utf-8")


@cache
def setup() -> dramatiq.Actor:  # type: ignore[type-arg]
    """Make the broker and the actors of this process; the first actor of a run."""
    url = settings.load("REDIS_URL").broker()
    broker = RedisBroker(url=url)
    dramatiq.set_broker(broker)
    join: Callable[..., list[bytes]] = redis.Redis.from_url(url).register_script(_JOIN)

    @dramatiq.actor
    def validate(run_id: str, calls: int, index: int, call: ToolCall) -> None:
        name = call["function"]["name"]
        values = work.validate(name, call["function"]["arguments"])
        query.send(run_id, calls, index, call["id"], name, values)

    @dramatiq.actor
    def query(
        run_id: str, calls: int, index: int, call_id: str, name: str, values: dict[str, object]
    ) -> None:
        entry = f"{call_id}\n{work.query(name, values)}"
        if join(keys=[f"join:{run_id}"], args=[calls, index, entry]):
            submit.send(run_id, calls)

    @dramatiq.actor
    def submit(run_id: str, calls: int) -> None:
        with broker.client.pipeline() as pipe:
            pipe.hmget(f"join:{run_id}", range(calls)).delete(f"join:{run_id}")
            entries = [entry.decode().partition("\n") for entry in pipe.execute()[0]]
        work.post(run_id, work.encode([e[0] for e in entries], [e[2] for e in entries]))

    return validate


def enqueue(run_id: str, calls: Sequence[ToolCall]) -> None:
    """Publish a run as its user would: one message a call."""
    validate = setup()
    for index, call in enumerate(calls):
        validate.send(run_id, len(calls), index, call)
