"""The ledger's door to Redis: its keys, its connection, and one Lua script a step."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from tasks.errors import LedgerUnavailable

RUN, DUE, DEAD, ENDED = "tw:run:", "tw:due", "tw:dead", "tw:ended"
WAITING, BEGUN, TURNS = "tw:waiting", "tw:begun", "tw:turns"
_LUA = Path(__file__).parent / "lua"


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
        self._scripts: dict[str, Callable[..., Any]] = {}

    def run_step(self, step: str, key: str, arguments: Sequence[Any], *more: Any) -> Any:
        """Call `lua/<step>.lua` with the run and the sets and counts that it may stand in."""
        script = self._scripts.get(step)
        if script is None:
            script = self._scripts[step] = self.client.register_script(_source(step))
        end = DEAD if step in ("bury", "replay") else ENDED
        keys = [f"{RUN}{key}", DUE, end, WAITING, BEGUN, TURNS]
        return self.ask(lambda: script(keys=keys, args=[key, *arguments, *more]))

    def ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except redis.RedisError as exc:
            raise LedgerUnavailable(f"the ledger did not answer: {type(exc).__name__}") from exc


def to_text(value: bytes) -> str:
    """The text that was stored, lone surrogates included."""
    return value.decode("utf-8", "surrogatepass")


@cache
def _source(step: str) -> str:
    return (_LUA / "_common.lua").read_text() + (_LUA / f"{step}.lua").read_text()
