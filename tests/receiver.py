"""Helper: a receiver without workers: gunicorn as in production, and a Redis."""

import http.client
import json
import os
import re
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from ops import deliveries
from ops.dev.children import Child
from ops.dev.embedded import free_port
from webhook import gunicorn as serving

ROOT = Path(__file__).resolve().parents[1]
SECRET = "receiver-secret"


class Receiver:
    """What listens on `port`; `master` is gunicorn's main process."""

    def __init__(self, port, master):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.master = master

    def ask(self, method, path, body=None, headers=None, *, chunked=False):
        """Status, parsed body and headers (a message) of one question."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null"), response.headers
        finally:
            connection.close()

    def post(self, body, headers=None):
        """Status and parsed body of a delivery; signed, unless *headers* replace that."""
        headers = signed(body) if headers is None else headers
        return self.ask(
            "POST", "/webhook/tool-calls", body, {"Content-Type": "application/json", **headers}
        )[:2]

    def connect(self):
        """A bare connection, to send what no HTTP client would."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=40)

    def worker_pids(self):
        """Pids of the processes that serve, from /proc."""
        pid = self.master.pid
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def memory_kb(self):
        """What the serving processes hold in memory, added up."""
        return sum(_rss_kb(pid) for pid in self.worker_pids())

    def blocks(self):
        """What Python's allocator counts in the serving processes; of `tests.counting_gunicorn`."""
        pids, before = set(self.worker_pids()), len(self.log())

        def counted():
            self.ask("GET", "/livez")
            lines = re.findall(r"^blocks (\d+) (\d+)$", self.log()[before:], re.MULTILINE)
            found = {int(pid): int(count) for pid, count in lines}
            return found if set(found) == pids else None

        return sum(wait_for(counted).values())

    def log(self):
        """All that was logged so far."""
        return self.master.log.read_text()


def signed(body, secret=SECRET):
    """The header that Genesys sends beside *body*."""
    return {"X-Hub-Signature-256": deliveries.signature(body, secret.encode())}


def delivery(run_id, *calls, **fields):
    """The bytes of a delivery; *calls* are (id, name, arguments)."""
    entries = [
        {"id": i, "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, name, arguments in calls
    ]
    return json.dumps({"run_id": run_id, "tool_calls": entries, **fields}).encode()


@contextmanager
def running_receiver(folder, redis_url, *, config="python:webhook.gunicorn", **env):
    """A receiver that answers; settings by name are added to the least it needs."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "REDIS_URL": redis_url,
        "WEBHOOK_SECRETS": SECRET,
        # no worker runs behind this receiver, so its runs wait for ever
        "RUN_MAX_WAIT_S": "86400",
        "RUN_MAX_WAITING": "1000000",
        **env,
    }
    options = ["-c", config, "--bind", f"127.0.0.1:{port}"]
    arguments = ["-m", "gunicorn", *options, "webhook:create_app()"]
    child = Child("receiver", arguments, env=settings, logs=folder, cwd=ROOT)
    receiver = Receiver(port, child)
    try:
        child.wait_until(lambda: _is_complete(receiver), timeout_s=90)
        yield receiver
    finally:
        child.stop()


def wait_for(condition, *, within_s=60.0):
    """The first truthy value of *condition*, polled 50 times a second."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.02)
    return value


def _is_complete(receiver):
    # gunicorn starts its workers up to 0.1 s apart; tests look whether they stay the same ones
    try:
        is_live = receiver.ask("GET", "/livez")[0] == 200
        return is_live and len(receiver.worker_pids()) == serving.workers
    except OSError:
        return False


def _rss_kb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"no VmRSS of {pid}")
