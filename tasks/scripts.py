"""The ledger's door to Redis: its keys, its connection, and one Lua script a step."""

import hashlib
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

    def run_step(self, step: str, key: str, arguments: Sequence[Any], *more: Any) -> Any:
        """Call `lua/<step>.lua` with the run and the sets and counts that it may stand in."""
        sha, source = _script(step)
        end = DEAD if step in ("bury", "replay") else ENDED
        keys = [f"{RUN}{key}", DUE, end, WAITING, BEGUN, TURNS]
        words = [len(keys), *keys, key, *arguments, *more]

        def run() -> Any:
            try:
                return self.client.evalsha(sha, *words)
            except redis.exceptions.NoScriptError:  # the server is new, or was started again
                return self.client.eval(source, *words)

        return self.ask(run)

    def ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except redis.RedisError as exc:
            raise LedgerUnavailable(f"the ledger did not answer: {type(exc).__name__}") from exc


def to_text(value: bytes) -> str:
    """The text that was stored, lone surrogates included."""
    return value.decode("utf-8", "surrogatepass")


@cache
def _script(step: str) -> tuple[str, str]:
    source = (_LUA / "_common.lua").read_text() + (_LUA / f"{step}.lua").read_text()
    return hashlib.sha1(source.encode()).hexdigest(), source  # noqa: S324  (Redis' name for it)
