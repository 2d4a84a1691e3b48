"""Live workers, their processes and tools, by Celery's remote control; length of the queues."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from tasks.app import app, queue_lengths_over

ANSWER_S = 1.0
"""Time for a worker's reply; its main process does nothing else that takes time."""
RELOAD_S = 30.0
"""Time for a worker to check its tool folders; 100 tools take a second."""
ANSWER_AGAIN_S = 2.5
"""A second request waits this long before no worker is reported, for a busy machine."""


class BrokerUnavailable(Exception):
    """The broker did not answer, so nothing is known of the workers."""


@dataclass(frozen=True)
class Worker:
    """One worker that answered: `node` is its Celery name, `pids` those of its processes."""

    node: str
    host: str
    pids: tuple[int, ...]

    @property
    def slots(self) -> int:
        """How many messages it can work on at a time."""
        return len(self.pids)


@dataclass(frozen=True)
class Reloaded:
    """Digests of a worker's catalogue before and after; with `mistakes` it is as it was."""

    before: str
    after: str
    mistakes: str


def workers() -> Sequence[Worker]:
    """
    The workers that answer, by name; takes 1 s, and 3.5 s when none does.

    Raises:
        BrokerUnavailable: The broker does not answer.
    """
    return _inspect(ANSWER_S) or _inspect(ANSWER_AGAIN_S)


def catalogs() -> dict[str, str]:
    """
    The digest of each worker's tool catalogue, by the worker's name; only of those that answer.

    Raises:
        BrokerUnavailable: The broker does not answer.
    """
    with _connected() as connection:
        found = app.control.broadcast(
            "toolworker", reply=True, timeout=ANSWER_S, connection=connection
        )
    replies = {node: reply for answer in found or () for node, reply in answer.items()}
    # a worker that fails replies with an error
    return {node: reply["catalog"] for node, reply in replies.items() if "catalog" in reply}


def reload_tools() -> dict[str, Reloaded | None]:
    """
    Let all workers load their tool folders anew; None for one that did not answer.

    Raises:
        BrokerUnavailable: The broker does not answer; no worker reloaded.
    """
    nodes = [worker.node for worker in workers()]
    if not nodes:
        return {}
    with _connected() as connection:
        found = app.control.broadcast(
            "reload_tools",
            destination=nodes,
            reply=True,
            timeout=RELOAD_S,
            limit=len(nodes),
            connection=connection,
        )
    replies = {node: reply for answer in found or () for node, reply in answer.items()}
    return {node: _reloaded(replies[node]) if node in replies else None for node in nodes}


def answers(node: str) -> bool:
    """
    Whether one worker answers, by its Celery name.

    Raises:
        BrokerUnavailable: The broker does not answer.
    """
    with _connected() as connection:
        ping = app.control.inspect(
            timeout=ANSWER_AGAIN_S, destination=[node], limit=1, connection=connection
        ).ping()
        return bool(ping)


def queue_length() -> int:
    """
    How many messages no worker has taken yet.

    Raises:
        BrokerUnavailable: The broker does not answer.
    """
    with _connected() as connection:
        return sum(queue_lengths_over(connection).values())


def _inspect(timeout_s: float) -> Sequence[Worker]:
    with _connected() as connection:
        found = app.control.inspect(timeout=timeout_s, connection=connection).stats() or {}
    workers = [
        Worker(node, node.partition("@")[2], tuple(stats["pool"].get("processes", ())))
        for node, stats in found.items()
    ]
    return sorted(workers, key=lambda worker: worker.node)


def _reloaded(reply: Mapping[str, str]) -> Reloaded:
    # a worker of the last release does not know the command: Celery replies with an error
    mistakes = reply.get("mistakes", "") or reply.get("error", "")
    return Reloaded(reply.get("before", ""), reply.get("after", ""), mistakes)


@contextmanager
def _connected() -> Iterator[Any]:
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            yield connection
    except (KombuError, RedisError, OSError) as exc:
        raise BrokerUnavailable(type(exc).__name__) from exc
