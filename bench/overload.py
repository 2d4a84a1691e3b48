"""
Benchmark of deliveries at three times the load that the service can take.

First how many runs a second come out when as many as possible go in, then how long a 202 takes at
a fifth of that, then three times the load.
"""

import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from bench.accept import at_rate, throughput
from bench.figures import quantile, short
from bench.genesys import await_ended, posts, put
from ops.dev.server import Server
from ops.dev.stack import Stack

SECONDS, TIMES = 10.0, 3.0
MANY = 1_000_000
# refuse early, so that a short measurement shows it; Genesys' rate would be the limit otherwise
ENV = {"RUN_MAX_WAIT_S": "5", "GENESYS_REQUESTS_PER_MINUTE": str(MANY)}


def measure(folder: Path, postgres: Server) -> dict[str, Any]:
    """
    Measure one stack of one worker with two processes and two reconcilers.

    Returns:
        `can_take_per_s`; `statuses`: answers by status; `unloaded_p99_ms` and `loaded_p99_ms` of
        the 202s; `accepted`, and of these `lost` and `twice` (answered twice).
    """
    with Stack(folder, env=ENV, postgres=postgres, reconcilers=2) as stack:
        put(stack, "/_sim/limits", {"requests_per_minute": MANY})
        port = urlsplit(stack.webhook_url).port or 0
        began = time.monotonic()
        runs = round(throughput(port, 2) * 2)
        await_ended(stack, runs, within_s=180)
        can_take = runs / (time.monotonic() - began)
        unloaded = at_rate(port, can_take / 5, SECONDS / 2)
        answers = at_rate(port, can_take * TIMES, SECONDS)
        accepted = _accepted(stack)
        await_ended(stack, accepted, within_s=180)
        answered = Counter(post["run_id"] for post in posts(stack) if post["status"] == 200)
    return {
        "can_take_per_s": short(can_take),
        "statuses": {str(status): n for status, n in Counter(s for s, _ in answers).items()},
        "unloaded_p99_ms": _p99_ms(unloaded),
        "loaded_p99_ms": _p99_ms(answers),
        "accepted": accepted,
        "lost": accepted - len(answered),
        "twice": sum(count > 1 for count in answered.values()),
    }


def _p99_ms(answers: list[tuple[int, float]]) -> float:
    return short(quantile([ms for status, ms in answers if status == 202], 0.99))


def _accepted(stack: Stack) -> int:
    """How many runs the ledger holds; none is forgotten within the day."""
    client = redis.Redis.from_url(stack.ledger.url)
    return sum(1 for _ in client.scan_iter("tw:run:*", count=1000))
