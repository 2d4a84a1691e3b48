"""The ledger's door to Redis: its keys, its connection, and one Lua script a step."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from runtime.exchange import Exchange, Script, script
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


class Scripts(Exchange):
    """
    Runs one step after another; use it from any thread.

    Raises:
        LedgerUnavailable: From every step, when Redis does not answer in time.
    """

    def run_step(self, step: str, key: str, arguments: Sequence[Any], *more: Any) -> Any:
        """Call `lua/<step>.lua` with the run and the sets and counts that it may stand in."""
        end = DEAD if step in ("bury", "replay") else ENDED
        keys = [f"{RUN}{key}", DUE, end, WAITING, BEGUN, TURNS]
        return self.ask(lambda: self.run_script(_script(step), keys, [key, *arguments, *more]))

    def ping(self) -> None:
        """Ask whether the ledger takes writes, with one that changes nothing."""
        # XX: only if it is there already; refused like any other by a replica or a full server
        self.ask(lambda: self._exchange("ZADD", DUE, "XX", 0, ""))

    def ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except redis.RedisError as exc:
            raise LedgerUnavailable(f"the ledger did not answer: {type(exc).__name__}") from exc


def to_text(value: bytes) -> str:
    """The text that was stored, lone surrogates included."""
    return value.decode("utf-8", "surrogatepass")


@cache
def _script(step: str) -> Script:
    first = "" if step in _WITHOUT_FREE_WRITE else _FREE_WRITE
    return script((_LUA / "_common.lua").read_text() + first + (_LUA / f"{step}.lua").read_text())
