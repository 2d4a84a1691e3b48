"""
All patches of libraries, each for one release, with a test that fails without it.

Importing this module applies them; `tests/integration/test_compat.py` fails when one can go.
"""

from importlib.metadata import version
from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

_PATCHED = {"celery": "5.7.0", "kombu": "5.7.0", "redis": "8.1.0"}

for _name, _release in _PATCHED.items():
    if version(_name) != _release:
        raise ImportError(f"tasks/compat.py patches {_name} {_release}, not {version(_name)}")

_connparams = Channel._connparams  # type: ignore[attr-defined]
_create_client = Channel._create_client  # type: ignore[attr-defined]


def _connparams_of_a_live_connection(channel: Channel, asynchronous: bool = False) -> Any:
    """
    Raise a connection error for a dead channel, which Celery ignores while it closes it.

    Celery 5.7.0 (celery/celery#10242; the traceback is that of celery/kombu#582) clears the
    transport's client before it closes the connection; the channel then reads its connection
    parameters, and the AttributeError ends the worker whenever Redis restarts while a task is
    running and a slot is free.
    """
    if getattr(channel.connection, "client", None) is None:
        raise RedisConnectionError("the channel belongs to a closed broker connection")
    return _connparams(channel, asynchronous)


Channel._connparams = _connparams_of_a_live_connection  # type: ignore[attr-defined]


def _one_client(channel: Channel, asynchronous: bool = False) -> Any:
    """
    Keep the client of a channel's commands.

    kombu 5.7.0 makes one for a message sent and two for one taken, and redis-py 8.1.0 builds a
    table of some 170 callbacks for each (redis/redis-py#3624, open): 0.2 to 0.3 ms of CPU. A
    delivery takes an eighth more of a receiver with it, a run of three calls a tenth more of a
    worker. That kombu could keep its client is not reported there.
    """
    if asynchronous:
        return _create_client(channel, asynchronous=True)
    client = channel.__dict__.get("_kept_client")
    if client is None or client.connection_pool is not channel.pool:
        client = channel.__dict__["_kept_client"] = _create_client(channel)
    return client


Channel._create_client = _one_client  # type: ignore[attr-defined]
