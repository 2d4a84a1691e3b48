"""What the fleet shares about Genesys, in Redis; its absence is an answer, not an error."""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime import logs
from runtime.exchange import Exchange, Script, script

TIMEOUT_S = 1.0
"""For connecting and for each answer; a POST has 10 s in all."""
AWAY_S = 2.0
"""After a failure Redis is left alone this long, so that not every POST waits for a time-out."""

_LUA = Path(__file__).parent / "lua"
_log = logs.get("genesys")


class Store:
    """
    Steps on one organisation's keys; each is one round trip and one atomic script.

    Args:
        names: What tells this organisation's client from others, such as login URL and client id.
            The keys hold a hash of them.

        now: A monotonic clock, in seconds.
    """

    def __init__(
        self, url: str, names: Sequence[str], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            # once more, because an idle connection may have been closed; every step bears it
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        self._exchange = Exchange(client)
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        # in braces, so that a cluster keeps them on one node
        self._prefix = f"tw:genesys:{{{digest}}}:"
        self._now = now
        self._away_until = float("-inf")

    def run(self, step: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """
        Call `lua/<step>.lua` on the organisation's *keys*.

        Returns:
            What the script returns; None when Redis does not answer. No script returns nil.
        """
        if self._now() < self._away_until:
            return None
        names = [self._prefix + key for key in keys]
        try:
            return self._exchange.run_script(_script(step), names, arguments)
        except redis.RedisError as error:
            self._away_until = self._now() + AWAY_S
            _log.warning("genesys.store_away", step=step, reason=type(error).__name__)
            return None


@cache
def _script(step: str) -> Script:
    return script((_LUA / "_common.lua").read_text() + (_LUA / f"{step}.lua").read_text())
