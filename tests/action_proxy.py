"""Helper: nginx before the data-action endpoint, by ops/proxy/nginx.conf, on this machine."""

import os
import shutil
import signal
import ssl
import subprocess
import time
from contextlib import contextmanager
from functools import partial

from ops.dev.server import die_with_parent, free_port
from tests.endpoint import CERTIFICATE, ROOT, Endpoint

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


@contextmanager
def running_proxy(folder, endpoint):
    """nginx in front of *endpoint*; what is yielded is used as an endpoint is."""
    port, plain_port, health_port = free_port(), free_port(), free_port()
    certificates = folder / "certificates"
    certificates.mkdir()
    shutil.copy(CERTIFICATE, certificates / "tls.crt")
    shutil.copy(CERTIFICATE.with_name("key.pem"), certificates / "tls.key")
    config = (ROOT / "ops" / "proxy" / "nginx.conf").read_text()
    for there, here in (
        (" /tmp/", f" {folder}/"),
        ("default /certificates;", f"default {certificates};"),
        ("listen 8443", f"listen 127.0.0.1:{port}"),
        ("listen 8080", f"listen 127.0.0.1:{plain_port}"),
        ("127.0.0.1:8081", f"127.0.0.1:{health_port}"),
        ("unix:/run/toolworker/actions.sock", f"unix:{endpoint.socket}"),
    ):
        assert there in config
        config = config.replace(there, here)
    (folder / "nginx.conf").write_text(config)
    # certificates are read at each handshake, in a folder that may be ours alone
    options = "daemon off;" + ("user root;" if os.geteuid() == 0 else "")
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", options]
    with (folder / "nginx.log").open("wb") as log:
        nginx = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    proxy = Endpoint(port, endpoint.master, is_tls=True)
    try:
        deadline = time.monotonic() + 60
        while not _answers(proxy):
            assert nginx.poll() is None, (folder / "nginx.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield proxy
    finally:
        nginx.send_signal(signal.SIGTERM)
        nginx.wait(60)


def _answers(proxy):
    try:
        return proxy.request("POST", "/genesys/actions/x", b"{}")[0] == 401
    except (OSError, ssl.SSLError, ValueError):
        return False
