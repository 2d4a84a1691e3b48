"""Redis as the ledger uses it: key names, connection, and the Lua script of each step."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

RUN, DUE, DEAD, ENDED = "tw:run:", "tw:due", "tw:dead", "tw:ended"
WAITING, BEGUN, SEND_QUEUE = "tw:waiting", "tw:begun", "tw:turns"
UNPUBLISHED = "tw:unpublished"
RECONCILERS = "tw:reconcilers"
EXPORTED_ENDED, EXPORTED_DEAD = "tw:exported:ended", "tw:exported:dead"
EXPORT_CURSORS, ALERTS, ALERTS_OUTBOX = "tw:exports", "tw:alerts", "tw:alerts:outbox"

_LUA = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r'^--- @include "(\w+)"$', re.MULTILINE)

_KEEPALIVE = {
    name: value
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))
    if (name := getattr(socket, option, None)) is not None
}
"""s, s, probes: an idle connection that died in silence is found in 11 s, before it is used."""


def connect(
    url: str,
    *,
    timeout_s: float,
    retries: int,
    tls: Mapping[str, Any] | None = None,
) -> redis.Redis:
    """
    A client for the ledger's Redis; nothing is sent yet.

    Args:
        timeout_s: For connecting and for each reply.

        retries: Further tries of one step on a broken connection, 0.2 s to 1 s apart; a single one
            is made at once. Every step may be repeated: each names its owner or writes once.

        tls: Of `Settings.redis_tls`, for a rediss:// URL.
    """
    return redis.Redis.from_url(
        url,
        **(tls or {}),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        socket_keepalive_options=_KEEPALIVE,
        # No health_check_interval: its PING finds a dead connection no sooner than a step, which is
        # retried on a new one; where nothing answers it takes 1.5 s in place of 0.9 (redis-py 8.1).
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.1) if retries > 1 else NoBackoff(), retries),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )


def register(client: redis.Redis) -> Mapping[str, Any]:
    """The script of each step by its name; redis-py sends it to a server that does not know it."""
    steps = sorted(path.stem for path in _LUA.glob("*.lua"))
    return {step: client.register_script(source(step)) for step in steps}


def source(step: str) -> str:
    """`lua/<step>.lua` with its includes in place."""
    text = (_LUA / f"{step}.lua").read_text()
    return _INCLUDE.sub(lambda match: (_LUA / "includes" / f"{match[1]}.lua").read_text(), text)


def to_text(value: bytes) -> str:
    """The text that was stored, lone surrogates included."""
    return value.decode("utf-8", "surrogatepass")


def to_bytes(text: str) -> bytes:
    """
    The bytes to store.

    Arguments are a caller's: a lone surrogate must reach validation, where it becomes an error
    output, and not break the write.
    """
    return text.encode("utf-8", "surrogatepass")
