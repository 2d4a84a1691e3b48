"""State of a Redis server's memory and disk. Read-only."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

NEARLY_FULL = 0.85
"""Share of `maxmemory` that is worth a warning, while there is room for what open runs add."""
LITTLE_DISK = 0.15
"""Free share of a disk that is worth a warning: rewriting an append-only file takes a copy."""

_DISK_FAULTS = {
    "aof_last_write_status": "it could not write its append-only file",
    "aof_last_bgrewrite_status": "it could not rewrite its append-only file",
    "rdb_last_bgsave_status": "it could not save its snapshot, and refuses writes until it can",
}


@dataclass(frozen=True)
class RedisHealth:
    """
    What INFO shows of one server.

    `memory_ratio` is used memory by `maxmemory`, None where there is no limit; `disk_fault` a
    sentence on the last write to its disk that failed, or None.
    """

    memory_ratio: float | None
    disk_fault: str | None


def connect_to_read(url: str, tls: Mapping[str, Any], *, timeout_s: float) -> redis.Redis:
    """A client that tries each command once, for `timeout_s`; nothing is sent yet."""
    return redis.Redis.from_url(
        url,
        **tls,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def read_health(client: redis.Redis) -> RedisHealth | None:
    """Read INFO once; None when the server does not answer."""
    try:
        found = client.info()
    except redis.RedisError:
        return None
    limit = int(found.get("maxmemory") or 0)
    ratio = int(found["used_memory"]) / limit if limit else None
    faults = [text for field, text in _DISK_FAULTS.items() if found.get(field, "ok") != "ok"]
    return RedisHealth(ratio, faults[0] if faults else None)


def free_disk_ratio(folder: Path) -> float | None:
    """Free share of the disk under *folder* for its users; None when it is not there."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None
