"""
Mutated deliveries at a running receiver: `python -m tests.fuzz_receiver [DELIVERIES] [SEED]`.

Nothing that is sent may be answered with 5xx but gunicorn's own 501, end a worker or stay in its
memory; what was not mutated is answered with 202.
"""

import contextlib
import json
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ops.dev.embedded import start_redis
from tests.receiver import ROOT, SECRET, running_receiver, signed

COUNTING = "python:tests.counting_gunicorn"
SENDERS = 4
UNANSWERED = -1
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_STATUS = 0
"""An answer without a status line, as nginx gives to a request of HTTP/0.9."""
BODIES = [path.read_bytes() for path in sorted((ROOT / "tests/deliveries").glob("*.json"))]
ODD = [None, True, 0, -1, 1e308, 10**400, "", " ", "\0", "\ud800", "a\nb", "é" * 300, [], {}, [[]],
       {"": {}}, "x" * 70_000, "{}", "[" * 2_000, "null", [1] * 500]  # fmt: skip
TOKENS = [b'"', b"{", b"}", b"[", b",", b":", b"\\u0000", b"\\ud800", b"\xff", b"\0", b"NaN",
          b"1e999", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"-", b"\xef\xbb\xbf"]  # fmt: skip
HEADERS = ["X-Hub-Signature-256", "Content-Type", "Content-Length", "Transfer-Encoding", "Expect",
           "Content-Encoding", "X-Request-Id", "Connection", "Host", "Authorization"]  # fmt: skip
VALUES = ["", "0", "-1", "9" * 20, "chunked", "gzip", "identity", "sha256=", "é", "a" * 300,
          "sha256=" + "0" * 64, "100-continue", "application/json; charset=utf-16", "close",
          "\t"]  # fmt: skip


class Sent(NamedTuple):
    """One request: its status (None: no answer), whether it was sent unmutated, and whole."""

    status: int | None
    is_valid: bool
    has_head: bool


def fuzz(receiver, *, deliveries, seed):
    """
    Send so many mutated deliveries and return what came back.

    Returns:
        How often each status came (None: the connection was closed without an answer, because the
        request's head never ended; UNANSWERED: although it did), how often each came for a delivery
        that was not mutated, whether the workers are still the same ones, and by how many kB and
        objects they grew after the first fifth.
    """
    statuses, of_valid = Counter(), Counter()
    workers = receiver.worker_pids()

    def fuzz_patiently(number):
        # 503 is the answer while Redis is stopped for 0.6 s, whatever was sent: to all of five?
        for _ in range(5):
            sent = fuzz_one(receiver.connect, seed, number)
            if sent.status != 503:
                break
            time.sleep(1)
        return sent

    with ThreadPoolExecutor(SENDERS) as senders:

        def send(numbers):
            for sent in senders.map(fuzz_patiently, numbers):
                is_unanswered = sent.status is None and sent.has_head
                statuses[UNANSWERED if is_unanswered else sent.status] += 1
                of_valid[sent.status] += sent.is_valid

        send(range(deliveries // 5))
        warm_kb, warm_blocks = receiver.memory_kb(), receiver.blocks()
        send(range(deliveries // 5, deliveries))
    grown = receiver.memory_kb() - warm_kb, receiver.blocks() - warm_blocks
    return statuses, +of_valid, receiver.worker_pids() == workers, grown


def fuzz_one(connect, seed, number, *, secret=SECRET, closes=True):
    """
    Send the delivery of this number.

    Args:
        connect: Makes a connection to a receiver.

        closes: Whether to close the sending side behind it, so that what is cut off ends at once;
            a proxy takes that for a sender that is gone.

    Returns:
        What was sent and what came back.
    """
    maker = _Maker(random.Random(f"{seed}:{number}"), f"{seed}-{number}", secret)
    segments = maker.segments()
    timeout_s = 20 if closes or maker.is_valid else 0.5
    status = _send(connect(), segments, closes=closes, timeout_s=timeout_s)
    return Sent(status, maker.is_valid, b"\r\n\r\n" in b"".join(segments))


class _Maker:
    """
    Makes one request that is nearly a good one, or sometimes is.

    Args:
        run: Ends the run id, so that no two deliveries are of one run.
    """

    def __init__(self, chance, run, secret):
        self._chance = chance
        self._secret = secret
        body = json.loads(chance.choice(BODIES))
        self._body = json.dumps({**body, "run_id": f"{body['run_id']}-{run}"}).encode()
        self.is_valid = True

    def segments(self):
        """The request, cut at random places: its parts may come together or one after the other."""
        request = self._request()
        cuts = self._chance.choices(range(len(request) + 1), k=self._chance.choice([0, 0, 1, 2, 5]))
        return [request[a:b] for a, b in pairwise([0, *sorted(cuts), len(request)])]

    def _request(self):
        body = self._body
        if self._chance.random() < 0.5:
            body = self._other_value(body)
        if self._chance.random() < 0.5:
            body = self._other_bytes(body)
        headers = {"Host": "x", "Content-Type": "application/json", **signed(body, self._secret)}
        is_chunked = self._chance.random() < 0.2
        if is_chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        else:
            headers["Content-Length"] = str(len(body))
        if self._chance.random() < 0.3:
            self.is_valid = False
            headers[self._chance.choice(HEADERS)] = self._chance.choice(VALUES)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["POST /webhook/tool-calls HTTP/1.1", *lines, "", ""]).encode()
        whole = head + body
        return self._other_bytes(whole) if self._chance.random() < 0.2 else whole

    def _other_value(self, body):
        """The same JSON with something odd at one place."""
        self.is_valid = False
        value = json.loads(body)
        places = list(_places(value))
        parent, name = self._chance.choice(places)
        odd = self._chance.choice(ODD)
        if self._chance.random() < 0.2:
            del parent[name]
        else:
            parent[name] = odd
        return json.dumps(value).encode()

    def _other_bytes(self, text):
        """The same bytes with some lost, doubled, changed or put between."""
        self.is_valid = False
        changed = bytearray(text)
        for _ in range(self._chance.choice([1, 1, 2, 5])):
            at = self._chance.randrange(len(changed) + 1)
            length = self._chance.choice([1, 2, 10, 100])
            how = self._chance.randrange(4)
            if how == 0:
                del changed[at : at + length]
            elif how == 1:
                changed[at:at] = changed[at : at + length]
            elif how == 2:
                changed[at : at + 1] = bytes([self._chance.randrange(256)])
            else:
                changed[at:at] = self._chance.choice(TOKENS)
        return bytes(changed)


def _places(value):
    """Every (container, key or index) inside."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for name, child in children:
        yield value, name
        if isinstance(child, dict | list):
            yield from _places(child)


def _send(connection, segments, *, closes, timeout_s):
    """The status of the answer, or None when there was none."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(timeout_s)
        # an answer may come before all was sent, and the connection be closed with it
        with contextlib.suppress(OSError):
            for segment in segments:
                connection.sendall(segment)
            if closes:
                connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(100)
            if answer == CONTINUE:  # what a sender that waits for it gets first
                answer = connection.recv(100)
        except OSError:
            return None
    line = answer.removeprefix(CONTINUE).split(b" ", 2)
    if len(line) < 2:
        return None
    return int(line[1]) if line[0].startswith(b"HTTP/") else NO_STATUS


def main():
    """Run it on servers of its own and print what came back; ends with 1 if anything is wrong."""
    numbers = [int(argument) for argument in sys.argv[1:]]
    deliveries, seed = (*numbers, *(10_000, 1)[len(numbers) :])
    with (
        tempfile.TemporaryDirectory() as folder,
        start_redis(Path(folder) / "redis") as server,
        running_receiver(Path(folder) / "receiver", server.url, config=COUNTING) as receiver,
    ):
        began = time.monotonic()
        statuses, of_valid, is_same, grown = fuzz(receiver, deliveries=deliveries, seed=seed)
        took_s = time.monotonic() - began
        log = receiver.log()
    failures = [line for line in log.splitlines() if "failed" in line or "Traceback" in line]
    lines = [
        f"{deliveries} deliveries, seed {seed}, {took_s:.0f} s",
        *(f"  {status}: {count}" for status, count in sorted(statuses.items(), key=str)),
        f"  of those not mutated: {dict(of_valid)}",
        f"  workers the same: {is_same}; grown by {grown[0]} kB and {grown[1]} objects after the "
        "first fifth",
        *failures[:20],
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    is_well = is_same and not failures and set(of_valid) == {202}
    wrong = {UNANSWERED, 500, 502, 503, 504, 505}
    raise SystemExit(0 if is_well and not set(statuses) & wrong else 1)


if __name__ == "__main__":
    main()
