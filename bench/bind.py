"""
Benchmark of a bound value's cost: calls of one tool with and without `bind`, alternating.

    python -m bench.bind

Exits with 1 when a bound value takes more than 0.05 ms at the median, or a round trip. The call is
validated and queried as a worker does; without `bind` the same value is an argument.
"""

import json
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from db import catalog
from db.pool import Databases
from ops.dev import demo_data
from ops.dev.embedded import start_postgres
from ops.dev.server import free_port

CALLS, WARM = 4_000, 200
MOST_MS = 0.05
_SQL = """-- One row is one ticket.
SELECT ticket_number, state FROM tickets WHERE customer_id = %(customer_id)s
"""
_SOURCE = "/context/customer_id"
Call = Callable[[], object]


class Relay:
    """Passes bytes on to a port; `turns` counts how often the client began to speak again."""

    def __init__(self, port: int) -> None:
        self.turns = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            is_clients_turn = True
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                    if not data:
                        return
                    if key.fileobj is client and is_clients_turn:
                        self.turns += 1
                    is_clients_turn = key.fileobj is server
                    key.data.sendall(data)


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with start_postgres(folder / "postgres", port=free_port()) as postgres:
            demo_data.load(postgres.url)
            url = postgres.url.replace("postgres@", "toolworker_reader:reader@", 1)
            with _calls(folder / "tools", url) as (bound, plain):
                took = _by_turns(bound, plain)
            port = int(url.rpartition(":")[2].partition("/")[0])
            relay = Relay(port)
            with _calls(folder / "relayed", url.replace(f":{port}/", f":{relay.port}/")) as calls:
                turns = [_turns(relay, call) for call in calls]
    with_ms, without_ms = (statistics.median(times) * 1000 for times in took)
    cost_ms = with_ms - without_ms
    print(f"a call with a bound value     p50 {with_ms:7.3f} ms, {turns[0]:.2f} round trips")
    print(f"the same as an argument       p50 {without_ms:7.3f} ms, {turns[1]:.2f} round trips")
    print(f"cost of a bound value         p50 {cost_ms:7.3f} ms  (at most {MOST_MS})")
    return 0 if cost_ms <= MOST_MS and turns[0] == turns[1] else 1


@contextmanager
def _calls(folder: Path, url: str) -> Iterator[tuple[Call, Call]]:
    """A call with a bound value, and the same call with an argument, over one connection."""
    for name, bind in (("bound", {"customer_id": _SOURCE}), ("plain", {})):
        _write(folder / name, bind)
    tools = catalog.load(folder)
    databases = Databases({"default": url}, max_size=1)
    databases.open()

    def call(name: str, arguments: str, context: dict[str, Any]) -> str:
        tool, values = tools.validate(name, arguments, context)
        return databases.query(tool, values, timeout_ms=5_000)

    try:
        yield (
            lambda: call("bound", "{}", {_SOURCE: 42}),
            lambda: call("plain", '{"customer_id": 42}', {}),
        )
    finally:
        databases.close()


def _write(folder: Path, bind: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    parameters = {
        "type": "object",
        "properties": {"customer_id": {"type": "integer"}},
        "required": ["customer_id"],
        "additionalProperties": False,
    }
    tool = {"name": folder.name, "description": "d", "parameters": parameters, "bind": bind}
    (folder / "tool.json").write_text(json.dumps(tool))
    (folder / "query.sql").write_text(_SQL)
    (folder / "examples.json").write_text("[]")


def _by_turns(*calls: Call) -> list[list[float]]:
    took: list[list[float]] = [[] for _ in calls]
    for number in range(WARM + CALLS):
        for at in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            calls[at]()
            if number >= WARM:
                took[at].append(time.perf_counter() - began)
    return took


def _turns(relay: Relay, call: Call) -> float:
    """Round trips of one call, once its connection is there."""
    call()
    before = relay.turns
    for _ in range(100):
        call()
    return (relay.turns - before) / 100


if __name__ == "__main__":
    sys.exit(main())
