"""
Repairs of pinned libraries, each with the release it is for and a test that fails without it.

Importing this module applies them; `tests/integration/test_repairs.py` says when to drop one.
"""

import time
from typing import Any

from kombu.transport import virtual
from kombu.transport.redis import Channel, QoS
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as RedisConnectionError

from runtime.exchange import Exchange, Script, script

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


# The first line changes nothing and asks for no memory: a Redis whose memory is used up refuses a
# script's first write if it may need some, and then the message that it gave out would be lost.
_NOTE = script("""
redis.call('ZREM', KEYS[1], '')
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
""")
_ACKNOWLEDGE = script("""
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
""")


class _BriefQoS(QoS):
    """
    Notes and acknowledges messages in one step each, as kombu 5.7.0 does in a transaction.

    redis-py's pipeline takes as long for one as sending and reading it: two for each message are a
    fifth of what the worker's main process does.
    """

    _exchange: Exchange | None = None

    def append(self, message: Any, delivery_tag: str) -> None:
        delivery = message.delivery_info
        noted = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
        self._run(_NOTE, time.time(), delivery_tag, noted)
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        self._run(_ACKNOWLEDGE, delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Called when the channel closes; nobody else would close our connection."""
        try:
            super().restore_unacked_once(stderr=stderr)
        finally:  # most of all where Redis is away, and restoring fails
            if self._exchange is not None:
                self._exchange.close()

    def _run(self, what: Script, *arguments: Any) -> None:
        client = _one_client(self.channel)  # type: ignore[arg-type]
        if self._exchange is None or self._exchange.client is not client:
            self._exchange = Exchange(client)
        self._exchange.run_script(what, [self.unacked_index_key, self.unacked_key], arguments)


Channel.QoS = _BriefQoS
