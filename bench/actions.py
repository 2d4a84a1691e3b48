"""
Benchmark of data actions through nginx and TLS: `make bench-actions`.

    python -m bench.actions load     50 at once for a minute, then one more than may run, 10 times
    python -m bench.actions kills    200 queries slower than their action, with killed processes
    python -m bench.actions idle     connections that lie idle for 5 to 70 s, for 10 minutes

Prints a line each and exits with 1 when one is missed.
"""

import http.client
import json
import os
import random
import shutil
import signal
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from ops.dev import demo_data, embedded
from tests.action_proxy import running_proxy
from tests.endpoint import CERTIFICATE, ROOT, SECRET, running_endpoint

AT_ONCE, LOAD_S, SLEEP_S, HELD_S = 50, 60.0, 1.1, 4.0
ABOVE_MS, REFUSED_MS = 25.0, 50.0
SLOW_CALLS, SLOW_AT_ONCE, TIMEOUT_S, KILL_EVERY_S = 200, 20, 4.0, 5.0
IDLE_S, IDLE_CONNECTIONS, IDLE_FROM_S, IDLE_TO_S = 600.0, 40, 5.0, 70.0

Answer = tuple[int, float]  # status (0: the connection broke) and seconds


def main() -> None:
    """Run the measures named on the command line, else all."""
    measures: dict[str, Callable[[Any, Any, str], Iterable[tuple[bool, str]]]] = {
        "load": measure_load,
        "kills": measure_kills,
        "idle": measure_idle,
    }
    results = []
    with _service() as (proxy, endpoint, postgres_url):
        for name in sys.argv[1:] or measures:
            for is_met, text in measures[name](proxy, endpoint, postgres_url):
                print(f"{'met   ' if is_met else 'MISSED'}  {text}", flush=True)
                results.append(is_met)
    sys.exit(0 if all(results) else 1)


def measure_load(proxy: Any, _: Any, postgres_url: str) -> Iterator[tuple[bool, str]]:
    """50 callers in a loop for a minute; then 50 at once, and the 51st."""
    ends_at = time.monotonic() + LOAD_S

    def caller(_: int) -> list[Answer]:
        with _connection(proxy) as connection:
            found = []
            while time.monotonic() < ends_at:
                found.append(_call(connection, "hold", {"seconds": SLEEP_S}))
            return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(caller, range(AT_ONCE)))
    # the first ones of all wait for their connections to Postgres, which later ones find open
    first_ms = max((took_s - SLEEP_S) * 1000 for (_, took_s), *_ in found)
    answers = [answer for _, *later in found for answer in later]
    statuses = Counter(status for status, _ in answers)
    above = sorted((took_s - SLEEP_S) * 1000 for _, took_s in answers)
    p99 = above[int(len(above) * 0.99)]
    text = f"{len(above)} calls in {LOAD_S:g} s, {dict(statuses)}; above {SLEEP_S} s: "
    text += f"p50 {above[len(above) // 2]:.1f} ms, p99 {p99:.1f} ms, most {above[-1]:.1f} ms; "
    text += f"of the first 50, with no connection open: {first_ms:.1f} ms"
    is_met = set(statuses) == {200} and p99 <= ABOVE_MS
    yield is_met, text
    yield _one_more(proxy, postgres_url)


def _one_more(proxy: Any, postgres_url: str) -> tuple[bool, str]:
    refused: list[Answer] = []
    with (
        ThreadPoolExecutor(AT_ONCE) as pool,
        psycopg.connect(postgres_url, autocommit=True) as own,
        _connection(proxy) as spare,
    ):
        _call(spare, "hold", {"seconds": 0})
        for _ in range(10):
            held = [pool.submit(_call_once, proxy, HELD_S) for _ in range(AT_ONCE)]
            while _running(own) < AT_ONCE:
                time.sleep(0.01)
            refused.append(_call(spare, "hold", {"seconds": SLEEP_S}))
            assert {call.result()[0] for call in held} == {200}
    statuses = Counter(status for status, _ in refused)
    slowest_ms = max(took_s for _, took_s in refused) * 1000
    text = f"the 51st, 10 times: {dict(statuses)}, slowest {slowest_ms:.1f} ms"
    return set(statuses) == {429} and slowest_ms <= REFUSED_MS, text


def measure_kills(proxy: Any, endpoint: Any, postgres_url: str) -> list[tuple[bool, str]]:
    """Queries of 30 s behind actions of 4 s, while the process that serves is killed."""
    is_over = threading.Event()
    kills = []

    def kill() -> None:
        while not is_over.wait(KILL_EVERY_S):
            try:
                os.kill(endpoint.worker_pid(), signal.SIGKILL)
                kills.append(time.monotonic())
            except (ValueError, ProcessLookupError):  # between two processes
                continue

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(SLOW_AT_ONCE) as pool:
        calls = [
            pool.submit(_call_once, proxy, 30, **{"X-Action-Timeout": f"{TIMEOUT_S:g}"})
            for _ in range(SLOW_CALLS)
        ]
        answers = [call.result() for call in calls]
    is_over.set()
    killer.join()
    ended_at = time.monotonic()
    with psycopg.connect(postgres_url, autocommit=True) as own:
        while left := _running(own):
            if time.monotonic() > ended_at + TIMEOUT_S:
                break
            time.sleep(0.05)
        left_s = time.monotonic() - ended_at
    statuses = Counter(status for status, _ in answers)
    slowest_s = max(took_s for _, took_s in answers)
    text = f"{SLOW_CALLS} slow queries, {len(kills)} kills: {dict(statuses)}, slowest "
    text += f"{slowest_s:.2f} s of {TIMEOUT_S:g} s; {left} backends left {left_s:.2f} s later"
    return [(set(statuses) == {503} and slowest_s < TIMEOUT_S and not left, text)]


def measure_idle(proxy: Any, *_: Any) -> list[tuple[bool, str]]:
    """Each connection is used, lies idle for a random time, and is used again, for 10 minutes."""
    ends_at = time.monotonic() + IDLE_S

    def caller(number: int) -> list[Answer]:
        chance = random.Random(number)
        with _connection(proxy) as connection:
            found = []
            while time.monotonic() < ends_at:
                found.append(_call(connection, "get_order", {"order_number": "SO-100042"}))
                time.sleep(chance.uniform(IDLE_FROM_S, IDLE_TO_S))
            found.append(_call(connection, "get_order", {"order_number": "SO-100042"}))
            return found

    with ThreadPoolExecutor(IDLE_CONNECTIONS) as pool:
        answers = [a for found in pool.map(caller, range(IDLE_CONNECTIONS)) for a in found]
    statuses = Counter(status for status, _ in answers)
    text = f"{len(answers)} calls on {IDLE_CONNECTIONS} connections that lay idle for "
    text += f"{IDLE_FROM_S:g} to {IDLE_TO_S:g} s: {dict(statuses)} (0 would be a reset)"
    return [(set(statuses) == {200}, text)]


@contextmanager
def _service() -> Iterator[tuple[Any, Any, str]]:
    with tempfile.TemporaryDirectory(prefix="toolworker-bench-") as name:
        folder = Path(name)
        (folder / "nginx").mkdir()
        with embedded.start_postgres(folder / "postgres") as postgres:
            demo_data.load(postgres.url)
            reader = postgres.url.replace("postgres@", "toolworker_reader:reader@", 1)
            tools = _tools(folder / "tools")
            with (
                running_endpoint(folder / "actions", reader, tools) as endpoint,
                running_proxy(folder / "nginx", endpoint) as proxy,
            ):
                yield proxy, endpoint, postgres.url


def _tools(folder: Path) -> Path:
    shutil.copytree(ROOT / "tools", folder)
    hold = folder / "hold"
    hold.mkdir()
    parameters = {
        "type": "object",
        "properties": {"seconds": {"type": "number"}},
        "required": ["seconds"],
        "additionalProperties": False,
    }
    tool = {"name": "hold", "description": "Sleeps.", "parameters": parameters}
    (hold / "tool.json").write_text(json.dumps({**tool, "timeout_ms": 60_000}))
    (hold / "query.sql").write_text("SELECT 'slept' AS state FROM pg_sleep(%(seconds)s::float8)")
    (hold / "examples.json").write_text("[]")
    return folder


class _OneConnection(http.client.HTTPSConnection):
    """Connects once: by default a request would open a connection that broke again."""

    has_connected = False

    def connect(self) -> None:
        if self.has_connected:
            raise http.client.NotConnected
        self.has_connected = True
        super().connect()


@contextmanager
def _connection(proxy: Any) -> Iterator[http.client.HTTPSConnection]:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    connection = _OneConnection("127.0.0.1", proxy.port, timeout=90, context=context)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def _call_once(proxy: Any, seconds: float, **headers: str) -> Answer:
    with _connection(proxy) as connection:
        return _call(connection, "hold", {"seconds": seconds}, **headers)


def _call(
    connection: http.client.HTTPSConnection, tool: str, arguments: Any, **headers: str
) -> Answer:
    given = {"X-API-Key": SECRET, "Content-Type": "application/json", **headers}
    began = time.monotonic()
    try:
        connection.request("POST", f"/genesys/actions/{tool}", json.dumps(arguments), given)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0, time.monotonic() - began
    return response.status, time.monotonic() - began


def _running(own: psycopg.Connection[Any]) -> int:
    row = own.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH%' AND state = 'active'"
    ).fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    main()
