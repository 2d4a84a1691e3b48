"""
Sends runs to one side and says when: `python -m bench.feed SIDE [URL]`, orders on stdin.

An order is a line `{"runs": 80, "calls": 3, "per_s": null, "tool": …, "arguments": …}`; the answer
is a line with the moment (CLOCK_MONOTONIC) at which each run was due, or begun if no rate is asked
for, and the CPU seconds that sending took.
"""

import json
import os
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from genesys.types import FunctionCall, ToolCall
from ops import deliveries
from ops.stack import SECRET
from runtime import logs

Enqueue = Callable[[str, Sequence[ToolCall]], Any]


def main() -> None:
    """Follow orders until there are no more."""
    # our door writes its log lines to standard output, as in the receiver; answers go past them
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        enqueue = _enqueue(*sys.argv[1:])
        for line in sys.stdin:
            print(json.dumps(follow(json.loads(line), enqueue)), file=answers, flush=True)


def follow(order: dict[str, Any], enqueue: Enqueue) -> dict[str, Any]:
    """Send the runs of one order; when each was due by run id, and the CPU taken."""
    calls = calls_of(order["calls"], order["tool"], order["arguments"])
    cpu_s = time.process_time()
    sent: dict[str, float] = {}
    for due in _moments(order["runs"], order["per_s"]):
        run_id = str(uuid.uuid4())
        sent[run_id] = due
        enqueue(run_id, calls)
    return {"sent": sent, "cpu_s": time.process_time() - cpu_s}


def calls_of(count: int, tool: str, arguments: dict[str, Any]) -> list[ToolCall]:
    """Equal calls of one tool, with ids as long as real ones."""
    function = FunctionCall(name=tool, arguments=json.dumps(arguments))
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


def _enqueue(side: str, url: str = "") -> Enqueue:
    if url:
        return _poster(url)
    if side in ("toolworker", "own_ledger"):
        logs.configure()
        return import_module("tasks.door").open_door()  # type: ignore[no-any-return]
    return import_module(f"bench.peers.{side}").enqueue  # type: ignore[no-any-return]


def _poster(url: str) -> Enqueue:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def post(run_id: str, calls: Sequence[ToolCall]) -> None:
        body = json.dumps({"run_id": run_id, "tool_calls": calls}).encode()
        signature = deliveries.signature(body, SECRET.encode())
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        with opener.open(urllib.request.Request(url, body, headers), timeout=60) as answer:  # noqa: S310
            answer.read()

    return post


if __name__ == "__main__":
    main()
