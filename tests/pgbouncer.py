"""Helper: a real PgBouncer in front of a test's Postgres."""

import getpass
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="PgBouncer is not installed: apt-get install pgbouncer"
)


@contextmanager
def start_pgbouncer(postgres_url: str, *, port: int, mode: str):
    """
    Start one with a single server connection and its other settings as they are by default.

    Yields:
        The URL of the same database through it.
    """
    postgres = urlsplit(postgres_url)
    url = postgres_url.replace(f":{postgres.port}", f":{port}")
    # not in pytest's folder, which no other user may enter
    with tempfile.TemporaryDirectory(prefix="toolworker-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        users = folder / "users.txt"
        users.write_text(f'"{postgres.username}" "{postgres.password or ""}"\n')
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            "[databases]\n"
            f"* = host={postgres.hostname} port={postgres.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\n"
            f"default_pool_size = 1\nlogfile = {folder / 'log'}\n"
        )
        # it refuses to run as root
        become = ["-u", "nobody"] if getpass.getuser() == "root" else []
        process = subprocess.Popen([PROGRAM, "-q", *become, settings], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not _accepts(url):
                assert time.monotonic() < deadline, "PgBouncer does not answer"
                time.sleep(0.02)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=60)


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
