"""
Accepting deliveries beside a bare Flask route under the same gunicorn settings, in turns.

    python -m bench.accept [ROUNDS] [SECONDS] [RATE]

How many a second 8 senders get answered that each wait for their answer, without workers and
reconcilers, which would share the CPU; then how long an answer takes at RATE a second with a worker
running. Medians over the rounds, and the receiver's as a multiple of the bare route's: with ledger
and broker in one Redis, and with a ledger of its own that is on disk before each answer.
"""

import itertools
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import redis
from flask import Flask, Response, jsonify, request

from ops import deliveries
from ops.children import Child
from ops.embedded import start_redis
from ops.server import free_port
from ops.stack import SECRET, Stack

ROOT = Path(__file__).resolve().parents[1]
SENDERS = 8
CALLS = 3
ARGUMENTS = json.dumps({"sku": "AB-1001", "warehouse": "US-WEST"})
PATIENT = {"RUN_MAX_WAIT_S": "600", "RUN_MAX_WAITING": "10000000"}  # no 503 while we measure
_numbers = itertools.count()


def bare() -> Flask:
    """The least that could answer: reads the body as JSON and says 202."""
    app = Flask(__name__)

    @app.post("/webhook/tool-calls")
    def tool_calls() -> tuple[Response, int]:
        return jsonify({"status": "accepted", "run_id": request.get_json()["run_id"]}), 202

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "live"}

    return app


def main() -> None:
    """Measure in turns and print a table."""
    given = [int(argument) for argument in sys.argv[1:]]
    rounds, seconds, rate = (*given, *(5, 5, 50)[len(given) :])
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder) / "one", workers=0, reconcilers=0, env=PATIENT) as stack,
        start_redis(Path(folder) / "ledger", extra=["--appendfsync", "always"]) as ledger,
        Stack(
            Path(folder) / "own",
            workers=0,
            reconcilers=0,
            env={**PATIENT, "LEDGER_URL": ledger.url},
            postgres=stack.postgres,
        ) as own,
    ):
        ports = {"bare Flask route": free_port()}
        peer = start_bare(stack, ports["bare Flask route"])
        try:
            ports["receiver"] = urlsplit(stack.webhook_url).port or 0
            ports["its own ledger"] = urlsplit(own.webhook_url).port or 0
            for port in ports.values():
                throughput(port, 1)  # warm
            per_s = in_turns(ports, rounds, lambda port: throughput(port, seconds))
            for server in (stack.broker, stack.ledger, own.broker, ledger):
                redis.Redis.from_url(server.url).flushall()
            for each in (stack, own):
                each.start_worker()
            p50, p99 = ({name: [] for name in ports} for _ in range(2))
            for name, port in list(ports.items()) * rounds:
                times = sorted(ms for status, ms in at_rate(port, rate, seconds) if status == 202)
                p50[name].append(statistics.median(times))
                p99[name].append(times[int(len(times) * 0.99)])
        finally:
            peer.stop()
    print(f"{rounds} rounds of {seconds} s, {CALLS} calls a delivery, {os.cpu_count()} CPUs")
    _print("accepted a second", per_s)
    _print(f"p50 at {rate}/s, ms", p50)
    _print(f"p99 at {rate}/s, ms", p99)


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


def in_turns(
    ports: dict[str, int], rounds: int, measure: Callable[[int], float]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ports}
    for name, port in list(ports.items()) * rounds:
        found[name].append(measure(port))
    return found


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


def _print(what: str, found: dict[str, list[float]]) -> None:
    base = statistics.median(found["bare Flask route"])
    for name, values in found.items():
        median = statistics.median(values)
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"  {what:22} {name:17} {median:8.1f}  ({spread})  x {median / base:.2f}")


if __name__ == "__main__":
    main()
