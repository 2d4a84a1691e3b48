"""
Benchmark of accepted deliveries, beside a bare Flask route under the same gunicorn settings.

First how many a second 8 senders get answered that each wait for their answer, without workers and
reconcilers, which would share the CPU; then how long an answer takes at a rate with one worker
running.
"""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from flask import Flask, Response, jsonify, request

from bench.figures import quantiles, spread
from ops import deliveries
from ops.dev.children import Child
from ops.dev.environment import SECRET
from ops.dev.server import free_port
from ops.dev.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
SENDERS = 8
CALLS = 3
ARGUMENTS = json.dumps({"sku": "AB-1001", "warehouse": "US-WEST"})
SECONDS, RATE_PER_S = 2.0, 50.0
PAIRS = 2  # for each turn: a bare route's rate varies by half from one 2 s to the next, and 100
# answers have one beyond their p99
_numbers = itertools.count()


def bare() -> Flask:
    """A bare app for comparison: reads the body as JSON and answers 202."""
    app = Flask(__name__)

    @app.post("/webhook/tool-calls")
    def tool_calls() -> tuple[Response, int]:
        return jsonify({"status": "accepted", "run_id": request.get_json()["run_id"]}), 202

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "live"}

    return app


def measure(stack: Stack, *, turns: int) -> dict[str, Any]:
    """
    Measure a stack that has neither workers nor reconcilers and refuses nothing.

    Returns:
        `per_s` and `latency_ms`, each for "receiver" and "bare"; `share`, of what the bare route
        took in the 2 s right after it.
    """
    ports = {"receiver": urlsplit(stack.webhook_url).port or 0, "bare": free_port()}
    pairs = [*ports.items()] * (turns * PAIRS)
    peer = start_bare(stack, ports["bare"])
    per_s: dict[str, list[float]] = {name: [] for name in ports}
    took_ms: dict[str, list[list[float]]] = {name: [] for name in ports}
    try:
        for port in ports.values():
            throughput(port, 1)  # warm
        for name, port in pairs:
            per_s[name].append(throughput(port, SECONDS))
        for server in (stack.broker, stack.ledger):
            redis.Redis.from_url(server.url).flushall()
        stack.start_worker()
        for name, port in pairs:
            answers = at_rate(port, RATE_PER_S, SECONDS)
            assert all(status == 202 for status, _ in answers)
            took_ms[name].append([ms for _, ms in answers])
    finally:
        peer.stop()
    rates = zip(per_s["receiver"], per_s["bare"], strict=True)
    return {
        "per_s": {name: spread(some) for name, some in per_s.items()},
        "share": spread([mine / bare for mine, bare in rates]),
        "latency_ms": {name: quantiles(some) for name, some in took_ms.items()},
    }


def start_bare(stack: Stack, port: int) -> Child:
    config = ["-c", "python:webhook.gunicorn", "--bind", f"127.0.0.1:{port}"]
    arguments = ["-m", "gunicorn", *config, "bench.accept:bare()"]
    peer = Child("bare", arguments, env=stack.env, logs=stack.logs, cwd=ROOT)
    peer.wait_until(lambda: _is_up(port), timeout_s=20)
    return peer


def _is_up(port: int) -> bool:
    try:
        return deliveries.get(f"http://127.0.0.1:{port}/livez").status == 200
    except deliveries.NoAnswer:
        return False


def throughput(port: int, seconds: float) -> float:
    """Answers a second for senders that each wait for theirs."""
    counts = []
    until = time.monotonic() + seconds

    def send() -> None:
        count = 0
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for text in _requests():
                assert _status(connection, text) == 202
                count += 1
                if time.monotonic() > until:
                    break
        counts.append(count)

    _on_threads(send)
    return sum(counts) / seconds


def at_rate(port: int, rate: float, seconds: float) -> list[tuple[int, float]]:
    """Status, and milliseconds from when each was due, so that a late sender hides no wait."""
    answers: list[tuple[int, float]] = []
    turns = itertools.count()
    began = time.monotonic() + 0.05

    def send() -> None:
        requests = _requests()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for turn in turns:
                due = began + turn / rate
                if due > began + seconds:
                    break
                text = next(requests)
                time.sleep(max(0.0, due - time.monotonic()))
                status = _status(connection, text)
                answers.append((status, (time.monotonic() - due) * 1000))

    _on_threads(send)
    return answers


def _on_threads(send: Callable[[], None]) -> None:
    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def _requests() -> Iterator[bytes]:
    """Signed deliveries, each of another run."""
    while True:
        function = {"name": "search_inventory", "arguments": ARGUMENTS}
        calls = [
            {"id": f"call_{i}", "type": "function", "function": function} for i in range(CALLS)
        ]
        body = json.dumps({"run_id": f"bench-{next(_numbers)}", "tool_calls": calls}).encode()
        lines = [
            "POST /webhook/tool-calls HTTP/1.1",
            "Host: bench",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Hub-Signature-256: {deliveries.signature(body, SECRET.encode())}",
        ]
        yield "\r\n".join([*lines, "", ""]).encode() + body


def _status(connection: socket.socket, text: bytes) -> int:
    connection.sendall(text)
    answer = b""
    while not answer.endswith(b"}\n"):
        more = connection.recv(4096)
        assert more, answer
        answer += more
    return int(answer.split(b" ", 2)[1])
