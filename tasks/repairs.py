"""
Repairs of pinned libraries, each with the release it is for and a test that fails without it.

Importing this module applies them; `tests/integration/test_repairs.py` says when to drop one.
"""

from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

_connparams = Channel._connparams  # type: ignore[attr-defined]  # the stubs leave it out


def _connparams_of_a_live_connection(channel: Channel, asynchronous: bool = False) -> Any:
    """
    Say that a dead channel is dead, in a way that Celery ignores.

    Celery 5.7.0 clears the transport's client before it closes the connection
    (celery/worker/consumer/consumer.py, `on_connection_error_after_connected`); closing then asks
    the channel for its connection parameters, and the AttributeError ends the worker whenever
    Redis restarts while a task is running and a slot is free.
    """
    if getattr(channel.connection, "client", None) is None:
        raise RedisConnectionError("the channel belongs to a closed broker connection")
    return _connparams(channel, asynchronous)


Channel._connparams = _connparams_of_a_live_connection  # type: ignore[attr-defined]
