"""Helper: the demo's compose project, under its own name and on its own ports."""

import base64
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from ops import deliveries
from ops.dev.server import free_port

ROOT = Path(__file__).resolve().parents[2]
SECRET = b"demo-webhook-secret"
PATH = "/webhook/tool-calls"
_NOT_COPIED = (".git", ".venv*", ".env", ".demo", "__pycache__", ".*_cache")
_CALL = {
    "id": "c",
    "type": "function",
    "function": {
        "name": "search_inventory",
        "arguments": '{"sku": "AB-1001", "warehouse": "US-WEST"}',
    },
}


def docker(*arguments):
    """The standard output of `docker …`."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def delivery(run_id):
    """The bytes of a delivery of one good call."""
    return json.dumps({"run_id": run_id, "tool_calls": [_CALL]}).encode()


def signed(body):
    """The headers of a delivery."""
    signature = deliveries.signature(body, SECRET)
    return {"Content-Type": "application/json", "X-Hub-Signature-256": signature}


class Compose:
    """
    Calls `docker compose …` in a copy of the checkout; deliveries go through the proxy, over TLS.

    Attributes: `folder`, the copy; `env` of each command; `image`, which each service of ours runs.
    """

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="toolworker-compose-")) / "checkout"
        shutil.copytree(ROOT, self.folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        self.image = os.environ.get("TOOLWORKER_IMAGE", "toolworker")
        self.proxy, self.simulator, self.flower = free_port(), free_port(), free_port()
        self.dashboard = free_port()
        self.name = f"toolworker-check-{uuid.uuid4().hex[:8]}"
        self.env = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "TOOLWORKER_IMAGE": self.image,
            "WEBHOOK_REPLICAS": "1",
            "PROXY_PORT": str(self.proxy),
            "SIMULATOR_PORT": str(self.simulator),
            "FLOWER_PORT": str(self.flower),
            "DASHBOARD_PORT": str(self.dashboard),
        }
        self._tls = None

    def __call__(self, *arguments, timeout_s=600):
        """The standard output of `docker compose …`."""
        done = subprocess.run(
            ["docker", "compose", "--env-file", ".env.demo", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr[-4000:]}"
        return done.stdout

    def redis(self, server, *command):
        """Send a command to the ledger's or the broker's Redis, as docs/production.md does."""
        env = {**self.env, "COMPOSE_ENV_FILES": ".env.demo"}
        subprocess.run(["ops/redis-cli", server, *command], cwd=self.folder, env=env, check=True)

    def remove(self):
        """Take the project down, with its volumes."""
        self("down", "-v", "--timeout", "60")
        shutil.rmtree(self.folder.parent)

    def up(self, *, workers):
        self("up", "-d", "--wait", "--scale", f"worker={workers}", "--no-recreate")

    def containers(self, service):
        return self("ps", "-q", service).split()

    def connect(self, *, receives=None):
        """A TLS connection to the proxy, to send what no HTTP client would."""
        connection = self.connect_plain(receives=receives)
        return self._trusted().wrap_socket(connection, server_hostname="localhost")

    def connect_plain(self, *, receives=None):
        """A connection to the proxy's port; its side buffers so many bytes unread."""
        connection = socket.socket()
        if receives:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.proxy))
        return connection

    def ask(self, method, path, body=None, headers=None, *, chunked=False):
        """Status, parsed body and headers (a message) of one request to the proxy."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.proxy, timeout=20, context=self._trusted()
        )
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        finally:
            connection.close()

    def post(self, run_id):
        """The status of one delivery."""
        body = delivery(run_id)
        return self.ask("POST", PATH, body, signed(body))[0]

    def deliver(self, run_id):
        """Send one delivery, and repeat it after a Retry-After as a sender would."""
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.post(run_id) == 202:
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, run_id
            time.sleep(0.2)

    def roll(self, image):
        """What `ops/roll.sh IMAGE` prints; further commands use that image, too."""
        done = subprocess.run(
            ["ops/roll.sh", image],
            cwd=self.folder,
            env={**self.env, "ENV_FILE": ".env.demo"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr[-4000:]
        self.env["TOOLWORKER_IMAGE"] = image
        return done.stdout

    def dashboard_page(self, path, password):
        """Status and text of a page of the dashboard, as `operator` with *password*."""
        token = base64.b64encode(f"operator:{password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.dashboard, timeout=20)
        try:
            connection.request("GET", path, headers={"Authorization": f"Basic {token}"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def submissions(self):
        url = f"http://127.0.0.1:{self.simulator}/_sim/submissions"
        return [entry for entry in deliveries.get(url).body if entry["status"] == 200]

    def wait_until_answered(self, run_ids, *, within_s=90):
        deadline = time.monotonic() + within_s
        while missing := set(run_ids) - {entry["run_id"] for entry in self.submissions()}:
            assert time.monotonic() < deadline, f"{len(missing)} of {len(run_ids)} not answered"
            time.sleep(0.5)

    def _trusted(self):
        """A context that trusts the demo's certificate, and that alone."""
        if self._tls is None:
            certificate = self("exec", "-T", "proxy", "cat", "/certificates/tls.crt")
            self._tls = ssl.create_default_context(cadata=certificate)
        return self._tls
