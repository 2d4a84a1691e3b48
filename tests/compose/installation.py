"""Helper: an installation made by the commands of docs/production.md, in its own folder."""

import os
import re
import shutil
import ssl
import subprocess
import time
import uuid
from pathlib import Path

from ops import deliveries
from ops.dev.server import free_port
from tests.compose.project import PATH, ROOT, Compose, delivery

PAGE = ROOT / "docs" / "production.md"
_IMAGE = os.environ.get("TOOLWORKER_IMAGE", "toolworker")
_SETTINGS = """
GENESYS_CLIENT_ID=demo-client
GENESYS_BASE_URL=http://simulator:8090
GENESYS_LOGIN_URL=http://simulator:8090
GENESYS_ALLOW_HTTP=true
"""
# the simulator, with the secret that Genesys would have; and a small disk "under the ledger", which
# a test can fill
_OVERRIDE = """
services:
  simulator:
    command: [python, -m, simulator, --host, 0.0.0.0, --port, "8090", --client-secret, {secret}]
  reconciler: {{volumes: ["small-disk:/disks/ledger"]}}
  doctor: {{volumes: ["small-disk:/disks/ledger"]}}
volumes:
  small-disk:
    driver_opts: {{type: tmpfs, device: tmpfs, o: "size=16m,mode=1777"}}
"""


def blocks(heading, page=PAGE):
    """The code blocks below a heading of docs/production.md, or of another page, in order."""
    (section,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", page.read_text(), re.M | re.S)
    return re.findall(r"^```\n(.*?)^```$", section, re.M | re.S)


class Installation(Compose):
    """
    Types blocks of the page in a shell; `make compose-check` alone uses it.

    Attributes: `folder`, a copy of the checkout with `secrets/` and `certificates/` as the page
    makes them.
    """

    def __init__(self, folder):
        super().__init__()
        shutil.rmtree(self.folder.parent)  # this one is typed into a folder of its own
        self.folder = folder / "checkout"
        tracked = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in filter(None, tracked.stdout.split("\0")):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        self.name = f"toolworker-docs-{uuid.uuid4().hex[:8]}"
        self.env = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "TOOLWORKER_IMAGE": _IMAGE,
            "PROXY_PORT": str(self.proxy),
            "SIMULATOR_PORT": str(self.simulator),
            "FLOWER_PORT": str(self.flower),
            "DASHBOARD_PORT": str(self.dashboard),
            # this machine's cores are fewer than a server's
            "WORKER_PROCESSES": "2",
        }
        self.prometheus_port = free_port()

    def __call__(self, *arguments, timeout_s=600):
        return self.shell(" ".join(["docker compose", *arguments]), timeout_s=timeout_s)

    def shell(self, text, *, timeout_s=600):
        """The standard output of *text* in bash, which stops at the first failure."""
        done = self.run(text, timeout_s=timeout_s)
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def run(self, text, *, timeout_s=600):
        (command,) = re.findall(r"^toolworker\(\) .*$", PAGE.read_text(), re.M)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{command}\n{text}"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )

    def first_start(self):
        """Type the page's steps, with a simulated Genesys and the demo's tables."""
        settings, database, start = blocks("Steps")
        self.make_certificate(days=365)
        schema = (
            (self.folder / "ops/dev/demo/schema.sql").read_text().partition("\nCREATE ROLE ")[0]
        )
        (self.folder / "shop.sql").write_text(
            schema + "\n" + (self.folder / "ops/dev/demo/data.sql").read_text()
        )
        self.serve_simulator("demo-secret", starts=False)
        self.shell(settings.replace("THE CLIENT SECRET", "demo-secret"))
        with (self.folder / ".env").open("a") as file:
            file.write(_SETTINGS)
        self.shell(database)
        self("build doctor")
        self.serve_simulator("demo-secret")
        self.shell(start.replace("worker=4", "worker=2"), timeout_s=900)

    def serve_simulator(self, secret, *, starts=True):
        """Let the simulated Genesys know this client secret alone; it forgets its tokens."""
        override = self.folder / "docker-compose.override.yml"
        override.write_text(_OVERRIDE.format(secret=secret))
        if starts:
            self("--profile demo up -d --no-deps --wait --force-recreate simulator")

    def make_certificate(self, *, days):
        """`fullchain.pem` and `privkey.pem`, self-signed, as a renewal leaves them."""
        self.shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            f"-days {days} -subj /CN=localhost "
            "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
            "-keyout privkey.pem -out fullchain.pem"
        )
        self._tls = None

    def webhook_secrets(self):
        return (self.folder / "secrets" / "webhook_secrets").read_text().strip().split(",")

    def post(self, run_id):
        return self.post_signed(run_id, self.webhook_secrets()[0])[0]

    def post_signed(self, run_id, secret):
        """Status and parsed body of one delivery, signed with *secret*."""
        body = delivery(run_id)
        signature = deliveries.signature(body, secret.encode())
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        return self.ask("POST", PATH, body, headers)[:2]

    def answer(self, run_id):
        """Deliver a run and wait until its answer is there."""
        self.deliver(run_id)
        self.wait_until_answered([run_id])

    def _trusted(self):
        if self._tls is None:
            certificate = (self.folder / "secrets" / "certificates" / "tls.crt").read_text()
            self._tls = ssl.create_default_context(cadata=certificate)
        return self._tls

    def remove(self):
        """Take everything down that was typed, its volumes included."""
        self("--profile demo down -v --timeout 20")


def wait_for(condition, *, within_s, what):
    """The first true value of *condition*, and after how many seconds it came."""
    began = time.monotonic()
    while not (value := condition()):
        assert time.monotonic() - began < within_s, f"{what}: not within {within_s} s"
        time.sleep(0.5)
    return value, time.monotonic() - began


def path_of_prometheus():
    """Debian's Prometheus on this machine, or None."""
    found = shutil.which("prometheus")
    return Path(found).resolve() if found else None
