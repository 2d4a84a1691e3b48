"""
Repairs of pinned libraries, each with the release it is for and a test that fails without it.

Importing this module applies them; `tests/integration/test_repairs.py` says when to drop one.
"""

import time
from typing import Any

from hiredis import pack_command
from kombu.transport import virtual
from kombu.transport.redis import Channel, QoS
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

# the stubs leave these out
_connparams = Channel._connparams  # type: ignore[attr-defined]
_create_client = Channel._create_client  # type: ignore[attr-defined]


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


def _one_client(channel: Channel, asynchronous: bool = False) -> Any:
    """
    Keep the client of a channel's plain commands.

    kombu 5.7.0 makes a client for every command it sends, 0.3 ms each: it holds no connection, but
    fills a table of 130 callbacks.
    """
    if asynchronous:
        return _create_client(channel, asynchronous=True)
    client = channel.__dict__.get("_kept_client")
    if client is None or client.connection_pool is not channel.pool:
        client = channel.__dict__["_kept_client"] = _create_client(channel)
    return client


Channel._create_client = _one_client  # type: ignore[attr-defined]


class _BriefQoS(QoS):
    """
    Notes and acknowledges messages in the same transactions as kombu 5.7.0 does.

    redis-py's pipeline takes as long for one as sending and reading it: two for each message are a
    fifth of what the worker's main process does.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        delivery = message.delivery_info
        noted = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
        self._both(
            ("ZADD", self.unacked_index_key, time.time(), delivery_tag),
            ("HSET", self.unacked_key, delivery_tag, noted),
        )
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        self._both(
            ("ZREM", self.unacked_index_key, delivery_tag),
            ("HDEL", self.unacked_key, delivery_tag),
        )
        virtual.QoS.ack(self, delivery_tag)

    def _both(self, *commands: tuple[Any, ...]) -> None:
        packed = [b"".join(map(pack_command, (("MULTI",), *commands, ("EXEC",))))]
        pool = self.channel.pool  # type: ignore[attr-defined]
        connection = pool.get_connection()

        def exchange() -> None:
            connection.send_packed_command(packed)
            # all are read before any is raised, or the next command would take the rest for its own
            answers = [_answer(connection) for _ in range(len(commands) + 2)]
            done = answers[-1] if isinstance(answers[-1], list) else []
            for answer in (*answers, *done):
                if isinstance(answer, Exception):
                    raise answer

        try:
            connection.retry.call_with_retry(exchange, lambda _: connection.disconnect())
        finally:
            pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


Channel.QoS = _BriefQoS
