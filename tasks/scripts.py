"""The ledger's door to Redis: its keys, its connection, and one Lua script a step."""

import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from hiredis import pack_command
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from tasks.errors import LedgerUnavailable

RUN, DUE, DEAD, ENDED = "tw:run:", "tw:due", "tw:dead", "tw:ended"
WAITING, BEGUN, TURNS = "tw:waiting", "tw:begun", "tw:turns"
_LUA = Path(__file__).parent / "lua"

_FREE_WRITE = "redis.call('ZREM', KEYS[2], '')\n"
"""
Changes nothing and asks for no memory. A Redis whose memory is used up refuses a script's first
write if it may need some, and no later one. (`flags=allow-oom` is not known to Redis 6.2.)
"""
_WITHOUT_FREE_WRITE = ("accept", "replay", "outputs")
"""Steps that bring a run in, for which there is no room, and the one that only reads."""


def connect(url: str, *, timeout_s: float, retries: int) -> redis.Redis:
    """
    A client for the ledger's Redis; nothing is sent yet.

    Args:
        timeout_s: For connecting and for each answer.

        retries: Further tries of one step on a broken connection, 0.1 s to 1 s apart. Every
            step may be repeated: each names its holder or writes once.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.1), retries),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )


class Scripts:
    """
    Runs one step after another; use it from any thread.

    Raises:
        LedgerUnavailable: From every step, when Redis does not answer in time.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._local = threading.local()

    def run_step(self, step: str, key: str, arguments: Sequence[Any], *more: Any) -> Any:
        """Call `lua/<step>.lua` with the run and the sets and counts that it may stand in."""
        sha, source = _script(step)
        end = DEAD if step in ("bury", "replay") else ENDED
        keys = [f"{RUN}{key}", DUE, end, WAITING, BEGUN, TURNS]
        words = [len(keys), *keys, key, *arguments, *more]

        def run() -> Any:
            try:
                return self._exchange("EVALSHA", sha, *words)
            except redis.exceptions.NoScriptError:  # the server is new, or was started again
                return self._exchange("EVAL", source, *words)

        return self.ask(run)

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
                    raise redis.TimeoutError("the ledger took too long") from exc
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

    def ping(self) -> None:
        """Ask whether the ledger takes writes, with one that changes nothing."""
        # XX: only if it is there already; refused like any other by a replica or a full server
        self.ask(lambda: self._exchange("ZADD", DUE, "XX", 0, ""))

    def ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except redis.RedisError as exc:
            raise LedgerUnavailable(f"the ledger did not answer: {type(exc).__name__}") from exc


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


def to_text(value: bytes) -> str:
    """The text that was stored, lone surrogates included."""
    return value.decode("utf-8", "surrogatepass")


@cache
def _script(step: str) -> tuple[str, str]:
    first = "" if step in _WITHOUT_FREE_WRITE else _FREE_WRITE
    source = (_LUA / "_common.lua").read_text() + first + (_LUA / f"{step}.lua").read_text()
    return hashlib.sha1(source.encode()).hexdigest(), source  # noqa: S324  (Redis' name for it)
