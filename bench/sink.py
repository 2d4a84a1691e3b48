"""HTTP sink in place of Genesys: issues tokens, answers each POST with 200, records its time."""

import asyncio
import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_TOKEN = b'{"access_token":"bench","token_type":"bearer","expires_in":86399}'
_TAKEN = b'{"status":"in_progress"}'


@dataclass(frozen=True)
class Arrival:
    """One submission: when it came (CLOCK_MONOTONIC), and how many good outputs it carried."""

    at: float
    outputs: int


class Sink:
    """Serves on a thread of its own, on a free loopback port, until it is closed."""

    def __init__(self) -> None:
        self._arrivals: dict[str, Arrival] = {}
        self._known: set[str] = set()
        self._came = threading.Condition()
        self._loop = asyncio.new_event_loop()
        serving = self._loop.create_server(lambda: _Connection(self._take), "127.0.0.1", 0)
        self._server = self._loop.run_until_complete(serving)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def collect(self, runs: int, *, timeout_s: float) -> dict[str, Arrival]:
        """
        Wait for *runs* runs, then give and forget all that came.

        Raises:
            TimeoutError: Fewer came in time.
        """
        with self._came:
            if not self._came.wait_for(lambda: len(self._arrivals) >= runs, timeout_s):
                raise TimeoutError(f"{len(self._arrivals)} of {runs} runs came in {timeout_s:g} s")
            found, self._arrivals = self._arrivals, {}
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _take(self, run_id: str, body: bytes, at: float) -> None:
        with self._came:
            if run_id in self._known:  # a repeat, which is allowed and not counted
                return
            self._known.add(run_id)
            self._arrivals[run_id] = Arrival(at, _good_outputs(body))
            self._came.notify_all()


def _good_outputs(body: bytes) -> int:
    outputs = [json.loads(entry["output"]) for entry in json.loads(body)["tool_calls"]]
    return sum("items" in output for output in outputs)


class _Connection(asyncio.Protocol):
    """One kept connection; requests have a Content-Length, as all our clients send."""

    def __init__(self, take) -> None:  # type: ignore[no-untyped-def]
        self._take = take
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head, length = self._held[:end], _length(self._held[:end])
            if len(self._held) < end + 4 + length:
                return
            body = self._held[end + 4 : end + 4 + length]
            self._held = self._held[end + 4 + length :]
            path = head.split(b" ", 2)[1].decode()
            self._answer(_TOKEN if path == "/oauth/token" else _TAKEN)
            if path.endswith("/tool_calls"):
                self._take(path.rsplit("/", 2)[1], body, at)

    def _answer(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(f"{head}\r\n\r\n".encode() + body)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
