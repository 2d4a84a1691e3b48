"""
Load generator: send runs to one side, on orders from stdin. `python -m bench.feed SIDE [URL]`.

An order is a line `{"runs": 80, "calls": 3, "per_s": null, "tool": …, "arguments": …}`; the answer
is a line with the moment (CLOCK_MONOTONIC) at which each run was due, or begun if no rate is given.
With a URL runs are signed deliveries over HTTP; without one, SIDE is a peer that enqueues them.
"""

import http.client
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ledger.values import Function, ToolCall
from ops import deliveries
from ops.dev.environment import SECRET

Enqueue = Callable[[str, Sequence[ToolCall]], Any]


def main() -> None:
    """Follow orders until there are no more."""
    side, *url = sys.argv[1:]
    for line in sys.stdin:
        # a new connection for each order: the receiver closes those that are idle for 5 s
        enqueue = _poster(*url) if url else import_module(f"bench.peers.{side}").enqueue
        print(json.dumps(follow(json.loads(line), enqueue)), flush=True)


def follow(order: dict[str, Any], enqueue: Enqueue) -> dict[str, float]:
    """Send the runs of one order; when each was due, by run id."""
    calls = calls_of(order["calls"], order["tool"], order["arguments"])
    sent: dict[str, float] = {}
    for due in _moments(order["runs"], order["per_s"]):
        run_id = str(uuid.uuid4())
        sent[run_id] = due
        enqueue(run_id, calls)
    return sent


def calls_of(count: int, tool: str, arguments: dict[str, Any]) -> list[ToolCall]:
    """Equal calls of one tool, with ids as long as real ones."""
    function = Function(name=tool, arguments=json.dumps(arguments))
    return [
        ToolCall(id=f"call_{index:024d}", type="function", function=function)
        for index in range(count)
    ]


def _moments(runs: int, per_s: float | None) -> Iterator[float]:
    """When each run is due; with a rate, not before that, and a late sender hides no wait."""
    began = time.monotonic()
    for number in range(runs):
        if per_s is None:
            yield time.monotonic()
            continue
        due = began + number / per_s
        time.sleep(max(0.0, due - time.monotonic()))
        yield due


def _poster(url: str) -> Enqueue:
    """Send deliveries on one kept connection; a refused one again, as Genesys does."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def post(run_id: str, calls: Sequence[ToolCall]) -> None:
        body = json.dumps({"run_id": run_id, "tool_calls": calls}).encode()
        signature = deliveries.signature(body, SECRET.encode())
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        for _ in range(10):
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            assert answer.read()
            if answer.status != 503:
                break
            time.sleep(1)
        assert answer.status == 202, answer.status

    return post


if __name__ == "__main__":
    main()
