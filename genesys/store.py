"""Redis state that the fleet shares about Genesys: rate limit, circuit breaker and token."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime import logs

TIMEOUT_S = 1.0
"""For connecting and for each reply; a POST has 10 s in all."""
DOWN_S = 2.0
"""After a failure Redis is not called for this long, so that not every POST waits for it."""

_LUA = Path(__file__).parent / "lua"
_log = logs.get("genesys")


class WriteRefused(Exception):
    """Redis answered and refused the script: it is a replica, is full, or denies the user."""


class Store:
    """
    Scripts on one organisation's keys; each call is one round trip and one atomic step.

    Args:
        names: What identifies this organisation's client, such as login URL and client id.
            The keys hold a hash of them.

        tls: Of `Settings.redis_tls`, for a rediss:// URL.

        now: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        url: str,
        names: Sequence[str],
        *,
        tls: Mapping[str, Any] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis.Redis.from_url(
            url,
            **(tls or {}),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            socket_keepalive=True,
            # once more, because an idle connection may have died; every script can be run twice.
            # No health_check_interval: its PING is retried within the retry, and a server that
            # hangs costs 4 s in place of 2 (redis-py 8.1)
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        common = (_LUA / "_common.lua").read_text()
        self._scripts = {
            path.stem: self._redis.register_script(common + path.read_text())
            for path in _LUA.glob("[a-z]*.lua")
        }
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        # in braces, so that a cluster keeps them on one node
        self._prefix = f"tw:genesys:{{{digest}}}:"
        self._now = now
        self._down_until = float("-inf")

    def run(self, script: str, keys: Sequence[str], **arguments: Any) -> Any:
        """
        Run `lua/<script>.lua` on the organisation's *keys*.

        Returns:
            What the script returns; None when Redis cannot be reached. No script returns nil.

        Raises:
            WriteRefused: Redis can be reached, but does not run the script for now.
        """
        if self._now() < self._down_until:
            return None
        names = [self._prefix + key for key in keys]
        try:
            return self._scripts[script](keys=names, args=[json.dumps(arguments)])
        except redis.ResponseError as error:
            # a primary that became a replica keeps its connections; a new one may lead to the
            # new primary
            self._redis.connection_pool.disconnect(inuse_connections=False)
            _log.warning("genesys.store_refused", step=script, reason=type(error).__name__)
            raise WriteRefused(type(error).__name__) from error
        except redis.RedisError as error:
            self._down_until = self._now() + DOWN_S
            _log.warning("genesys.store_away", step=script, reason=type(error).__name__)
            return None
