"""
Deliveries at three times the load that the service can take: `python -m bench.overload`.

First how many runs a second come out when as many as possible go in, then how long a 202 takes at
a fifth of that, then 60 s at three times. Exits with 1 when an answer was neither 202 nor 503, when
the p99 of the 202s is over ten times the unloaded one, or when an accepted run was not answered
once.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import redis

from bench.accept import at_rate, throughput
from bench.genesys import await_ended, posts, put
from ops.stack import Stack

SECONDS, TIMES, WITHIN = 60.0, 3.0, 10.0
MANY = 1_000_000
# refuse early, so that a minute shows it; Genesys' rate would be the limit otherwise
ENV = {"RUN_MAX_WAIT_S": "5", "GENESYS_REQUESTS_PER_MINUTE": str(MANY)}


def main() -> None:
    """Measure in this order, on one stack of one worker with two processes."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), env=ENV) as stack:
        put(stack, "/_sim/limits", {"requests_per_minute": MANY})
        port = urlsplit(stack.webhook_url).port or 0
        began = time.monotonic()
        runs = round(throughput(port, 2) * 2)
        await_ended(stack, runs, within_s=180)
        can_take = runs / (time.monotonic() - began)
        unloaded = _p99(at_rate(port, can_take / 5, SECONDS / 2))
        answers = at_rate(port, can_take * TIMES, SECONDS)
        statuses = Counter(status for status, _ in answers)
        loaded = _p99(answers)
        accepted = _accepted(stack)
        await_ended(stack, accepted, within_s=180)
        answered = Counter(post["run_id"] for post in posts(stack) if post["status"] == 200)
    print(f"the service can take {can_take:.0f} runs of 3 calls a second")
    print(f"at {can_take / 5:.0f} a second: p99 of a 202 {unloaded:.1f} ms")
    print(
        f"at {can_take * TIMES:.0f} a second for {SECONDS:.0f} s: {dict(statuses)},"
        f" p99 of a 202 {loaded:.1f} ms, x {loaded / unloaded:.1f} (at most {WITHIN:.0f})"
    )
    lost, twice = accepted - len(answered), sum(count > 1 for count in answered.values())
    print(f"accepted {accepted} in all; lost {lost}, answered twice {twice}")
    is_met = set(statuses) <= {202, 503} and loaded <= WITHIN * unloaded and not lost and not twice
    sys.exit(0 if is_met else 1)


def _p99(answers: list[tuple[int, float]]) -> float:
    times = sorted(ms for status, ms in answers if status == 202)
    return times[int(len(times) * 0.99)]


def _accepted(stack: Stack) -> int:
    """How many runs the ledger holds; none is forgotten within the day."""
    client = redis.Redis.from_url(stack.ledger.url)
    return sum(1 for _ in client.scan_iter("tw:run:*", count=1000))


if __name__ == "__main__":
    main()
