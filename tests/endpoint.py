"""Helper: a data-action endpoint without the rest of the service, under gunicorn."""

import http.client
import json
import os
import ssl
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from ops.dev.children import Child
from ops.dev.server import free_port

ROOT = Path(__file__).resolve().parents[1]
SECRET = "action-secret"
OLD_SECRET = "the-secret-before"
CERTIFICATE = ROOT / "ops" / "dev" / "demo" / "tls" / "cert.pem"
TLS = ["--certfile", str(CERTIFICATE), "--keyfile", str(CERTIFICATE.with_name("key.pem"))]


class Endpoint:
    """What listens on `port` and on `socket`; `master` is gunicorn's main process."""

    def __init__(self, port, master, *, is_tls, socket=None):
        self.port, self.master, self.is_tls, self.socket = port, master, is_tls, socket
        self.url = f"{'https' if is_tls else 'http'}://127.0.0.1:{port}"

    def request(self, method, path, body=None, headers=None, *, chunked=False):
        """Status, parsed body and headers (a message) of one request."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null"), response.headers
        finally:
            connection.close()

    def call(self, tool, arguments, *, query="", **headers):
        """Status and parsed body of one call; authorized, unless *headers* replace that."""
        headers = headers or {"X-API-Key": SECRET}
        body = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
        return self.request("POST", f"/genesys/actions/{tool}{query}", body, headers)[:2]

    def connect(self):
        """A connection that is kept until it is closed."""
        if self.is_tls:
            context = ssl.create_default_context(cafile=CERTIFICATE)
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=70, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=70)

    def worker_pid(self):
        """Pid of the process that serves, from /proc."""
        pid = self.master.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def log(self):
        """All that was logged so far."""
        return self.master.log.read_text()


def environment(folder, database_url, tools_dir, **env):
    """The least that the endpoint needs, and settings by name."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "DATABASE_URL": database_url,
        "TOOLS_DIR": str(tools_dir),
        "ACTIONS_SECRETS": f"{SECRET},{OLD_SECRET}",
        **env,
    }


@contextmanager
def running_endpoint(folder, database_url, tools_dir=ROOT / "tools", *, is_tls=False, **env):
    """An endpoint that answers."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    # of a short name, since a socket's address has 107 bytes at most
    sockets = tempfile.TemporaryDirectory(prefix="actions-")
    socket = Path(sockets.name) / "actions.sock"
    options = ["-c", "python:actions.gunicorn"]
    options += ["--bind", f"127.0.0.1:{port}", "--bind", f"unix:{socket}"]
    arguments = ["-m", "gunicorn", *options, *(TLS if is_tls else []), "actions:create_app()"]
    env = environment(folder, database_url, tools_dir, **env)
    child = Child("actions", arguments, env=env, logs=folder, cwd=ROOT)
    endpoint = Endpoint(port, child, is_tls=is_tls, socket=socket)
    try:
        child.wait_until(lambda: _answers(endpoint), timeout_s=90)
        yield endpoint
    finally:
        child.stop()
        sockets.cleanup()


def _answers(endpoint):
    try:
        return endpoint.request("GET", "/livez")[0] == 200
    except OSError:
        return False
