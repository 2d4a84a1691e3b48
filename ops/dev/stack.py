"""The whole service on one machine: servers, simulated Genesys, receiver, workers, reconciler."""

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ops import deliveries
from ops.dev import demo_data
from ops.dev.children import Child, StartError
from ops.dev.embedded import start_postgres, start_redis
from ops.dev.environment import SECRET, environment
from ops.dev.programs import ROOT, Programs
from ops.dev.server import Server, free_port

CERTIFICATE = Path(__file__).parent / "demo" / "tls" / "cert.pem"
"""Certificate of 127.0.0.1, with its key beside it; for demos and tests alone."""
_START_S = 90.0
"""A program that fails ends; this is for all of them at once on a busy machine."""
WORKER = ("-m", "celery", "-A", "tasks", "worker")
"""The start command of a worker, as arguments of this interpreter."""
_BOUNDS = ("--maxmemory", "1gb")
"""The doctor requires that a ledger refuses new runs before the machine's memory is full."""


class Stack:
    """
    Everything between a delivery and its submission, each part on a free loopback port.

    Two Redis, as in production: a broker that is synced to disk each second, and a ledger that is
    synced before each answer. Workers send task events, as they do when Flower watches.

    Attributes are there once `start` has returned: `broker`, `ledger` and `postgres` (servers with
    `url`, `port`, `pid`, `stop` and `start`), `webhook_url` and `simulator_url` (without a path),
    `actions_url` (likewise, "" without data actions), `env` (of each program), `secret` (of
    deliveries), `metrics_urls` (by a program's name).

    Args:
        folder: For logs and pids.json; data of an earlier stack in it is removed.

        workers: How many `celery worker`; each has *concurrency* processes.

        tools_dir: The tool folders; None means those that ship with the service.

        env: More settings, or other values for those that the stack gives.

        worker_options: More options of the worker's start command.

        reconcilers: How many `toolworker reconcile`.

        examine: Let `toolworker doctor --wait` look at the servers before programs start.

        has_actions: Serve data actions, too, over TLS with the demo's certificate.

        postgres: One that runs and has the demo data, which is left running; None starts one.

        has_postgres: False when *env* names databases of one's own; then none is started.

        report: Called for each part that is up: its name, where it listens, seconds taken.
    """

    broker: Server
    ledger: Server
    postgres: Server

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        concurrency: int = 2,
        worker_options: Sequence[str] = (),
        tools_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        reconcilers: int = 1,
        examine: bool = False,
        has_actions: bool = False,
        postgres: Server | None = None,
        has_postgres: bool = True,
        report: Callable[[str, str, float], None] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.secret = SECRET
        self.webhook_url = self.simulator_url = self.actions_url = ""
        self._programs = Programs(self.folder)
        self._workers, self._concurrency, self._reconcilers = workers, concurrency, reconcilers
        self._worker_options = worker_options
        self._must_examine, self._given_postgres = examine, postgres
        self._uses_demo_data = has_postgres or postgres is not None
        self._has_actions = has_actions
        self._tools_dir = tools_dir or ROOT / "tools"
        self._extra_env = dict(env or {})
        self._report = report or (lambda name, where, took_s: None)

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of each program; empty until the servers are up."""
        return self._programs.env

    @property
    def logs(self) -> Path:
        """The folder of the programs' logs."""
        return self._programs.logs

    @property
    def metrics_urls(self) -> Mapping[str, str]:
        """The metrics page of each program, by its name."""
        return self._programs.metrics_urls

    @property
    def worker_pids(self) -> list[int]:
        """The main process of each worker that has not ended, oldest first."""
        return [worker.pid for worker in self.children("worker")]

    def start(self) -> None:
        """
        Start every part and return when all are ready.

        Raises:
            StartError: A part did not come up; what had started is stopped again.
        """
        try:
            self._start_servers()
            self._start_programs()
        except BaseException as error:
            self.stop()
            if isinstance(error, RuntimeError):  # of a server, with the end of its log
                raise StartError(str(error)) from error
            raise

    def stop(self) -> None:
        """Stop everything, the newest first; raises RuntimeError as `Programs.stop`."""
        self._programs.stop()

    def launch(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> Child:
        """Start one more program of this interpreter, in the stack's environment and *env*."""
        return self._programs.launch(name, *arguments, env=env)

    def children(self, kind: str) -> list[Child]:
        """The programs of one kind, such as "worker" or "webhook", that have not ended."""
        return self._programs.children(kind)

    def start_worker(self) -> int:
        """
        Add one worker and return its pid when it takes messages.

        Raises:
            StartError: It did not come up.
        """
        began = time.monotonic()
        worker = self._launch_worker()
        self._await_worker(worker, began)
        return worker.pid

    def start_reconciler(self) -> int:
        """
        Add one reconciler and return its pid when it looks after runs.

        Raises:
            StartError: It did not come up.
        """
        reconciler = self._launch_reconciler()
        self._await_log(reconciler, "reconciler.started")
        return reconciler.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_servers(self) -> None:
        for name in ("broker", "ledger", "postgres"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        self.broker = self._start_redis("broker", "everysec")
        self.ledger = self._start_redis("ledger", "always")
        if self._given_postgres is not None:
            self.postgres = self._given_postgres
            return
        if not self._uses_demo_data:
            return
        began = time.monotonic()
        self.postgres = self._programs.keep("postgres", start_postgres(self.folder / "postgres"))
        demo_data.load(self.postgres.url)
        self._report("postgres", f"{self.postgres.url} (demo data)", time.monotonic() - began)

    def _start_redis(self, name: str, appendfsync: Literal["everysec", "always"]) -> Server:
        began = time.monotonic()
        folder = self.folder / name
        server = self._programs.keep(
            name, start_redis(folder, appendfsync=appendfsync, extra=_BOUNDS)
        )
        self._report(name, f"{server.url} (Redis)", time.monotonic() - began)
        return server

    def _start_programs(self) -> None:
        webhook_port, simulator_port = free_port(), free_port()
        self.webhook_url = f"http://127.0.0.1:{webhook_port}"
        self.simulator_url = f"http://127.0.0.1:{simulator_port}"
        base = environment(
            self.folder,
            broker=self.broker,
            ledger=self.ledger,
            postgres=self.postgres if self._uses_demo_data else None,
            simulator_url=self.simulator_url,
            tools_dir=self._tools_dir,
        )
        self._programs.env = {**base, **self._extra_env}
        if self._must_examine:
            self._examine()
        began = time.monotonic()
        # all at once: most of their start is importing
        trust = ["--ca-file", str(CERTIFICATE)]
        options = ["--port", str(simulator_port), *trust]
        simulator = self.launch("simulator", "-m", "simulator", *options)
        bind = f"127.0.0.1:{webhook_port}"
        config = ["-c", "python:webhook.gunicorn", "--bind", bind, "--no-control-socket"]
        workers = [self._launch_worker() for _ in range(self._workers)]
        reconcilers = [self._launch_reconciler() for _ in range(self._reconcilers)]
        actions = self._launch_actions() if self._has_actions else None
        webhook = self.launch("webhook", "-m", "gunicorn", *config, "webhook:create_app()")
        self._await(simulator, lambda: is_up(f"{self.simulator_url}/_sim/submissions"))
        self._report("simulator", self.simulator_url, time.monotonic() - began)
        self._await(webhook, lambda: is_up(f"{self.webhook_url}/readyz"))
        self._report("webhook", self.webhook_url, time.monotonic() - began)
        if actions is not None:
            self._await(actions, lambda: actions.has_logged("Booting worker"))
            self._report("actions", self.actions_url, time.monotonic() - began)
        for worker in workers:
            self._await_worker(worker, began)
        for reconciler in reconcilers:
            self._await_log(reconciler, "reconciler.started")
            self._report(reconciler.name, f"pid {reconciler.pid}", time.monotonic() - began)

    def _examine(self) -> None:
        began = time.monotonic()
        arguments = ["-m", "ops.cli", "doctor", "--wait", "--before-start", "--timeout", "60"]
        doctor = Child("doctor", arguments, env=self.env, logs=self.logs, cwd=ROOT)
        try:
            doctor.succeed(timeout_s=_START_S)
        finally:
            doctor.stop()
        self._report("doctor", "settings, servers and tools are well", time.monotonic() - began)

    def _launch_worker(self) -> Child:
        name = self._programs.next_name("worker")
        size = ["-c", str(self._concurrency), "-n", f"{name}@%h"]
        # where Flower is installed, as here, Celery's command imports it and so prometheus_client,
        # before our app can choose its mode; any folder will do, a worker makes one of its own
        mode = {"PROMETHEUS_MULTIPROC_DIR": str(self.logs)}
        return self.launch(name, *WORKER, *size, *self._worker_options, env=mode)

    def _await_worker(self, worker: Child, began: float) -> None:
        # Celery logs "<node> ready." once it has subscribed to its queue
        self._await_log(worker, " ready.")
        where = f"pid {worker.pid}, {self._concurrency} processes"
        self._report(worker.name, where, time.monotonic() - began)

    def _launch_actions(self) -> Child:
        port = free_port()
        self.actions_url = f"https://127.0.0.1:{port}"
        options = ["-c", "python:actions.gunicorn", "--bind", f"127.0.0.1:{port}"]
        key = CERTIFICATE.with_name("key.pem")
        tls = ["--certfile", str(CERTIFICATE), "--keyfile", str(key)]
        return self.launch("actions", "-m", "gunicorn", *options, *tls, "actions:create_app()")

    def _launch_reconciler(self) -> Child:
        return self.launch(self._programs.next_name("reconciler"), "-m", "ops.cli", "reconcile")

    def _await(self, child: Child, is_ready: Callable[[], bool]) -> None:
        child.wait_until(is_ready, timeout_s=_START_S)

    def _await_log(self, child: Child, text: str) -> None:
        self._await(child, lambda: child.has_logged(text))


def is_up(url: str) -> bool:
    """Whether a GET is answered with 200."""
    with contextlib.suppress(deliveries.NoAnswer):
        return deliveries.get(url).status == 200
    return False
