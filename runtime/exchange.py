"""Ask Redis on a connection of this thread's own, at half of what its client takes for it."""

import hashlib
import os
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from hiredis import pack_command


@dataclass(frozen=True)
class Script:
    """A Lua script with Redis' own name for it."""

    source: str
    sha: str


def script(source: str) -> Script:
    """Of a text in Lua."""
    return Script(source, hashlib.sha1(source.encode()).hexdigest())  # noqa: S324  (their choice)


class Exchange:
    """
    Asks, and waits for the answer; use it from any thread.

    Args:
        client: Says where, with which time limits, and how often to try again.

    Raises:
        RedisError: From every question. A server that is a replica counts as one that is away.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._local = threading.local()

    def run_script(self, script: Script, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Run it, in one round trip; the first time on a server takes two."""
        words = [len(keys), *keys, *arguments]
        try:
            return self._exchange("EVALSHA", script.sha, *words)
        except redis.exceptions.NoScriptError:  # the server is new, or was started again
            return self._exchange("EVAL", script.source, *words)

    def close(self) -> None:
        """Close this thread's connection; the next question opens another."""
        connection = getattr(self._local, "connection", None)
        if connection is not None and connection.pid == os.getpid():
            connection.disconnect()

    def _exchange(self, *command: Any) -> Any:
        """What the client's `execute_command` does, without measuring it, at half the CPU."""
        connection = self._connection()
        packed = [pack_command(command)]

        def ask() -> Any:
            try:
                if not connection.is_connected:  # sending would, with retries inside of ours
                    connection.connect_check_health(check_health=False, retry_socket_connect=False)
                connection.send_packed_command(packed)
                return connection.read_response()
            except redis.ResponseError as refusal:
                if not _is_for_the_primary(refusal):
                    raise  # an answer like any other
                connection.disconnect()  # its host's name may lead to the primary by now
                raise NotThePrimary from refusal
            except BaseException as exc:  # whose answer nobody may read as the next one
                connection.disconnect()
                if isinstance(exc.__context__, BlockingIOError):
                    raise redis.TimeoutError("Redis took too long") from exc
                raise

        def exchange() -> Any:
            was_connected = connection.is_connected
            try:
                return ask()
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:
                if not was_connected:
                    raise
                return ask()  # the server had closed it; to look first costs a poll each time

        return connection.retry.call_with_retry(exchange, lambda _: None)

    def _connection(self) -> Any:
        """This thread's own: taking one from the pool costs as much as the exchange."""
        connection = getattr(self._local, "connection", None)
        if connection is None or connection.pid != os.getpid():
            pool = self.client.connection_pool  # of whose 100 connections this shall be none
            kind = pool.connection_class
            kind = _KernelTimed if kind is redis.Connection else kind
            connection = self._local.connection = kind(**pool.connection_kwargs)
        return connection


class NotThePrimary(redis.ConnectionError):
    """A server answered that is a replica, or a primary without the replicas that it must have."""


def _is_for_the_primary(refusal: redis.ResponseError) -> bool:
    # Redis 6.2 has the word in the middle of its sentence about a script
    said = f"{refusal.status_code} {refusal}"
    return any(word in said for word in ("READONLY", "MASTERDOWN", "NOREPLICAS"))


class _KernelTimed(redis.Connection):
    """
    Time limits that the kernel keeps: those of Python's sockets cost a poll before each call.

    Not for TLS, where OpenSSL would take the kernel's word for "try again".
    """

    def _connect(self) -> socket.socket:
        connected: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
        limit_s = connected.gettimeout() or 0.0  # 0 is none for both
        limit = struct.pack("ll", int(limit_s), int(limit_s % 1 * 1_000_000))
        connected.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connected.setsockopt(socket.SOL_SOCKET, option, limit)
        return connected
