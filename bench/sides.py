"""The systems that are compared, each with its own workers, Redis servers and sender."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from bench import tally
from bench.sink import Arrival, Sink
from ops.dev.children import Child
from ops.dev.embedded import start_redis
from ops.dev.server import Server, die_with_parent, free_port
from ops.dev.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 2
"""Worker processes of each side, one message at a time each; Node has one, with one loop."""
TITLES = {
    "toolworker": "toolworker",
    "plain_chord": "plain Celery chord, keeps nothing",
    "ledger_dramatiq": "dramatiq, the same ledger",
    "seed": "the seed's shape: Node, in process, one call after another",
}
PEERS = ("plain_chord", "ledger_dramatiq")
_WAIT_S = 120.0
_TAIL_S = 0.2  # what a worker does after its POST is part of the run's cost


@dataclass(frozen=True)
class Work:
    """Runs of one measurement; *per_s* None means as fast as the sender can."""

    runs: int
    calls: int
    per_s: float | None = None
    tool: str = "search_inventory"
    arguments: Mapping[str, Any] | None = None

    def order(self) -> str:
        """The line that a sender understands."""
        arguments = self.arguments or {"sku": "AB-1001", "warehouse": "US-WEST"}
        return json.dumps({**self.__dict__, "arguments": arguments}) + "\n"


@dataclass(frozen=True)
class Outcome:
    """One measurement: a run's share of the cost, runs a second, milliseconds of each run."""

    cost: tally.Cost
    runs_per_s: float
    took_ms: list[float]


class Side:
    """
    Workers that run, and the program that sends to them.

    Args:
        worker: The root of the worker tree, whose CPU and memory count.

        servers: The Redis servers that this side alone uses.

        env: The sender's whole environment.

        url: Where a side takes runs over HTTP.
    """

    def __init__(
        self,
        name: str,
        worker: int,
        servers: Sequence[Server],
        sink: Sink,
        env: Mapping[str, str],
        *,
        url: str = "",
    ) -> None:
        self.name, self.worker, self.env = name, worker, env
        self._sink = sink
        self._clients = [redis.Redis.from_url(server.url) for server in servers]
        self._idle = tally.NOTHING
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the side)
        self._sender = subprocess.Popen(
            [sys.executable, "-m", "bench.feed", name, *([url] if url else [])],
            env=dict(env),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )

    def cost(self) -> tally.Cost:
        """All that this side has cost so far."""
        return tally.read(self.worker, self._clients)

    def assume_idle(self, cost: tally.Cost) -> None:
        """Subtract the cost of one idle second from now on."""
        self._idle = cost

    def memory_mb(self) -> float:
        """The memory of the worker tree."""
        return tally.memory_mb(self.worker)

    def measure(self, work: Work) -> Outcome:
        """
        Send *work*, wait for every submission and see what it took.

        Raises:
            RuntimeError: A submission lacked good outputs, or the sender ended.
            TimeoutError: Not every run was answered.
        """
        before = self.cost()
        sent = self._send(work)
        arrivals = self._sink.collect(work.runs, timeout_s=_WAIT_S)
        ended = max(arrival.at for arrival in arrivals.values())
        took_s = ended - min(sent.values())
        time.sleep(_TAIL_S)
        _must_be_whole(self.name, work, sent, arrivals)
        cost = self.cost().since(before, idle=self._idle, for_s=took_s + _TAIL_S).per(work.runs)
        took_ms = [(arrivals[run_id].at - at) * 1000 for run_id, at in sent.items()]
        return Outcome(cost, work.runs / took_s, took_ms)

    def _send(self, work: Work) -> dict[str, float]:
        assert self._sender.stdin
        assert self._sender.stdout
        # click takes a broken pipe for a reader that left, and would end without a word
        with contextlib.suppress(BrokenPipeError):
            self._sender.stdin.write(work.order())
            self._sender.stdin.flush()
        line = self._sender.stdout.readline()
        if not line:
            code = self._sender.wait(5)
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(f"the sender of {self.name} ended with {code}: {said}")
        sent: dict[str, float] = json.loads(line)
        return sent

    def close(self) -> None:
        """End the sender."""
        self._sender.terminate()
        self._sender.communicate(timeout=5)
        self._log.close()


def _must_be_whole(
    name: str, work: Work, sent: Mapping[str, float], arrivals: Mapping[str, Arrival]
) -> None:
    """A side that leaves work out would look fast."""
    if arrivals.keys() != sent.keys():
        raise RuntimeError(f"{name} submitted runs that were not sent")
    poor = [run_id for run_id, arrival in arrivals.items() if arrival.outputs != work.calls]
    if poor:
        raise RuntimeError(f"{name} submitted {len(poor)} of {work.runs} runs without good outputs")


class Field:
    """
    Everything that runs while we measure; leaving it stops all of it, the newest first.

    Args:
        postgres: With the demo data; queried by all sides, and left running.
    """

    def __init__(self, folder: Path, tools_dir: Path, postgres: Server) -> None:
        self._folder, self._tools_dir, self._postgres = folder, tools_dir, postgres
        self._open = ExitStack()
        self.sink = self._open.enter_context(Sink())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def stack(
        self,
        *,
        workers: int = 1,
        concurrency: int = PROCESSES,
        reconcilers: int = 2,
        env: Mapping[str, str] | None = None,
        worker_options: Sequence[str] = (),
    ) -> Stack:
        """The whole service with our sink for Genesys, and no limit that would stop a burst."""
        stack = Stack(
            self._folder / "ours",
            workers=workers,
            concurrency=concurrency,
            reconcilers=reconcilers,
            worker_options=worker_options,
            tools_dir=self._tools_dir,
            env={
                "GENESYS_BASE_URL": self.sink.url,
                "GENESYS_LOGIN_URL": self.sink.url,
                "GENESYS_REQUESTS_PER_MINUTE": "10000000",
                "RUN_MAX_WAIT_S": "600",
                "RUN_MAX_WAITING": "10000000",
                **(env or {}),
            },
            postgres=self._postgres,
        )
        return self._open.enter_context(stack)

    def side_of(self, stack: Stack) -> Side:
        """A sender for a stack, over HTTP; its first worker is the tree that is counted."""
        url = f"{stack.webhook_url}/webhook/tool-calls"
        servers = [stack.broker, stack.ledger]
        worker = stack.worker_pids[0]
        return self._keep(Side("toolworker", worker, servers, self.sink, stack.env, url=url))

    def peer(self, name: str, env: Mapping[str, str], *, processes: int = PROCESSES) -> Side:
        """A broker and, where the peer keeps runs, a ledger, synced as ours; *env* is ours else."""
        folder = self._folder / name
        folder.mkdir()
        servers = [self._open.enter_context(start_redis(folder / "broker"))]
        own = {**env, "REDIS_URL": servers[0].url, "PYTHONPATH": str(ROOT), **_PREFETCH}
        if name == "ledger_dramatiq":
            ledger = start_redis(folder / "ledger", appendfsync="always")
            servers.append(self._open.enter_context(ledger))
            own["LEDGER_URL"] = ledger.url
        command = [part.format(processes=processes) for part in _COMMANDS[name]]
        worker = Child(name, command, env=own, logs=folder, cwd=ROOT)
        self._open.callback(worker.stop)
        return self._keep(Side(name, worker.pid, servers, self.sink, own))

    def seed(self, node: str, env: Mapping[str, str]) -> Side:
        """The seed's shape on Node."""
        port = free_port()
        script = ROOT / "bench" / "peers" / "seed.mjs"
        where = [str(port), str(self._postgres.port), self.sink.url, str(self._tools_dir)]
        server = Server(
            [node, str(script), *where],
            url=f"http://127.0.0.1:{port}",
            port=port,
            log=self._folder / "seed.log",
            is_ready=lambda pid: "listening" in (self._folder / "seed.log").read_text(),
        )
        self._open.callback(server.stop)
        return self._keep(Side("seed", server.pid, [], self.sink, env, url=server.url))

    def _keep(self, side: Side) -> Side:
        self._open.callback(side.close)
        return side


# with one thread dramatiq would fetch two messages, and sleep for 5 ms and more while it has both
_PREFETCH = {"dramatiq_queue_prefetch": "16"}
_COMMANDS = {
    "plain_chord": [
        *("-m", "celery", "-A", "bench.peers.plain_chord", "worker", "--task-events"),
        *("-c", "{processes}", "--without-gossip", "--without-mingle"),
    ],
    "ledger_dramatiq": [
        *("-m", "dramatiq", "--processes", "{processes}", "--threads", "1"),
        "bench.peers.ledger_dramatiq:setup",
    ],
}
