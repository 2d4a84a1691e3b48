"""Broken states: each raises an alert with its runbook within 90 s, and the doctor names it."""

import contextlib
import json
import threading
import time
import urllib.request
import uuid

import pytest
import yaml

from ops.dev.server import free_port
from tests.compose.installation import path_of_prometheus, wait_for
from tests.compose.project import ROOT, docker

pytestmark = pytest.mark.compose

WITHIN_S = 90
_MONITORING = ROOT / "ops" / "monitoring"
_RUNBOOKS = {
    rule["alert"]: rule["annotations"]["runbook"]
    for rule in yaml.safe_load((_MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
}


class Prometheus:
    """Debian's Prometheus in a container of the installation's network, with ops/monitoring."""

    def __init__(self, installation, program):
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        self.container = docker(
            "run", "-d", "--network", f"{installation.name}_default",
            "-p", f"127.0.0.1:{port}:9090",
            "-v", f"{program}:/prometheus:ro", "-v", f"{_MONITORING}:/monitoring:ro",
            "--user", "0", "--tmpfs", "/store",
            installation.env["TOOLWORKER_IMAGE"], "/prometheus",
            "--config.file=/monitoring/prometheus.yml", "--storage.tsdb.path=/store",
        )  # fmt: skip

    def read(self, path):
        """The `data` of an answer of the API; None while it does not answer."""
        with contextlib.suppress(OSError), urllib.request.urlopen(self._url + path) as answer:
            return json.load(answer)["data"]

    def firing(self):
        """Name of each alert that fires, and the runbook that it names."""
        found = (self.read("/api/v1/alerts") or {"alerts": []})["alerts"]
        return {
            alert["labels"]["alertname"]: alert["annotations"]["runbook"]
            for alert in found
            if alert["state"] == "firing"
        }

    def parts(self):
        """The parts that are scraped."""
        found = (self.read("/api/v1/targets") or {"activeTargets": []})["activeTargets"]
        return {target["labels"]["part"] for target in found if target["health"] == "up"}


@pytest.fixture(scope="module")
def prometheus(installation):
    program = path_of_prometheus()
    if program is None:
        pytest.skip("Prometheus is not installed (Debian's package prometheus)")
    started = Prometheus(installation, program)
    try:
        needed = {"webhook", "worker", "reconciler"}
        wait_for(lambda: needed <= started.parts(), within_s=90, what="scrapes")
        yield started
    finally:
        docker("rm", "-f", "-v", started.container)


@contextlib.contextmanager
def _no_worker(installation):
    installation("stop worker")
    is_over = threading.Event()

    def send():
        while not is_over.wait(2):
            installation.post(f"unanswered-{uuid.uuid4().hex}")  # 503 when they wait for too long

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        is_over.set()
        sender.join()
        installation("start worker")


@contextlib.contextmanager
def _no_receiver_and_no_reconciler(installation):
    installation("stop webhook reconciler")
    try:
        yield
    finally:
        installation("start webhook reconciler")


@contextlib.contextmanager
def _dead_letter(installation):
    _inject(installation, {"submit": [{"status": 404}]})
    try:
        installation.deliver(f"dead-{uuid.uuid4().hex}")
        yield
    finally:
        installation.shell("toolworker runs replay --all")


@contextlib.contextmanager
def _refused_token(installation):
    installation.serve_simulator("another")
    try:
        installation.deliver(f"refused-{uuid.uuid4().hex}")
        yield
    finally:
        secret = (installation.folder / "secrets" / "genesys_client_secret").read_text()
        installation.serve_simulator(secret)
        # the fleet requests no other token for a minute, and a run that is due meanwhile is dead
        wait_for(lambda: not _named(installation, "genesys token"), within_s=90, what="the pause")
        installation.shell("toolworker runs replay --all")


@contextlib.contextmanager
def _full(installation):
    """A ledger without memory, a broker near its own, and a disk that is nearly full."""
    before = {}
    try:
        for server, share in (("ledger", 0.5), ("redis", 1.1)):
            info = installation.shell(f"ops/redis-cli {server} INFO memory")
            found = dict(line.split(":", 1) for line in info.split() if ":" in line)
            before[server] = found["maxmemory"]
            limit = int(int(found["used_memory"]) * share)
            installation.shell(f"ops/redis-cli {server} CONFIG SET maxmemory {limit}")
        installation(
            "exec -T --index 1 reconciler dd if=/dev/zero of=/disks/ledger/fill bs=1M count=15"
        )
        yield
    finally:
        for server, limit in before.items():
            installation.shell(f"ops/redis-cli {server} CONFIG SET maxmemory {limit}")
        installation("exec -T --index 1 reconciler rm -f /disks/ledger/fill")


@contextlib.contextmanager
def _different_tools_and_a_certificate_that_ends(installation):
    tool = installation.folder / "tools" / "get_order" / "tool.json"
    text = tool.read_text()
    certificate = installation.folder / "secrets" / "certificates"
    kept = {name: (certificate / name).read_text() for name in ("tls.crt", "tls.key")}
    worker = installation.containers("worker")[0]
    try:
        tool.write_text(json.dumps(json.loads(text) | {"description": "Another one."}))
        docker("restart", worker)
        installation.make_certificate(days=5)
        for name, file in (("tls.crt", "fullchain.pem"), ("tls.key", "privkey.pem")):
            (certificate / name).write_text((installation.folder / file).read_text())
        yield
    finally:
        tool.write_text(text)
        docker("restart", worker)
        for name, pem in kept.items():
            (certificate / name).write_text(pem)


@contextlib.contextmanager
def _tool_without_rights(installation):
    _in_database(installation, "REVOKE SELECT ON inventory FROM toolworker_reader")
    try:
        for _ in range(3):
            installation.deliver(f"fails-{uuid.uuid4().hex}")
        yield
    finally:
        _in_database(installation, "GRANT SELECT ON inventory TO toolworker_reader")


def _in_database(installation, statement):
    installation(f'exec -T postgres psql -qU postgres shop -c "{statement}"')


def _inject(installation, faults):
    url = f"http://127.0.0.1:{installation.simulator}/_sim/faults"
    request = urllib.request.Request(
        url, json.dumps(faults).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    urllib.request.urlopen(request, timeout=5).close()


STATES = {
    _no_worker: {
        "ToolworkerNoWorker": "workers: none answers",
        "ToolworkerQueueSlow": "queue: a run has waited",
        "ToolworkerCallsUnanswered": "workers: none answers",
    },
    _no_receiver_and_no_reconciler: {
        "ToolworkerNoReceiver": "receiver: none answers",
        "ToolworkerNoReconciler": "reconcilers: none looks at the ledger",
    },
    _dead_letter: {"ToolworkerDeadLetters": "dead letters: "},
    _refused_token: {"ToolworkerTokenRefused": "genesys token: "},
    _full: {
        "ToolworkerRedisMemory": "LEDGER_URL memory: ",
        "ToolworkerRedisDisk": "LEDGER_DISK: 6% of it are free",
    },
    _different_tools_and_a_certificate_that_ends: {
        "ToolworkerCatalogsDiffer": "its tools differ",
        "ToolworkerCertificateEnds": "certificate: it ends in 5 days",
    },
    _tool_without_rights: {"ToolworkerToolFails": "tool search_inventory: "},
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__.strip("_"))
def test_a_broken_state_raises_its_alerts_and_the_doctor_names_it(
    installation, prometheus, state, alert_figures
):
    lines, took = set(), {}
    # what an earlier test broke has its alert for five minutes more
    wait_for(
        lambda: not STATES[state].keys() & prometheus.firing().keys(), within_s=400, what="calm"
    )
    with state(installation):
        broken = time.monotonic()
        missing = dict(STATES[state])
        while missing:
            firing = prometheus.firing()
            for alert in [alert for alert in missing if alert in firing]:
                assert firing[alert] == _RUNBOOKS[alert]
                assert (ROOT / firing[alert]).is_file()
                took[alert] = time.monotonic() - broken
                del missing[alert]
            lines |= set(_doctor(installation))
            assert time.monotonic() - broken < WITHIN_S or not missing, (missing, firing)
    for alert, line in STATES[state].items():
        assert any(line in found for found in lines), (alert, line, sorted(lines))
        found = sorted(found for found in lines if line in found)
        alert_figures.append(f"| {alert} | {took[alert]:.0f} s | {found[0]} |")


def _named(installation, subject):
    return [line for line in _doctor(installation) if line.startswith(subject)]


def _doctor(installation):
    done = installation.run("toolworker doctor", timeout_s=60)
    return done.stderr.splitlines()


def test_the_doctor_is_silent_when_all_is_whole_again(installation):
    run_ids = [f"after-all-that-{number}" for number in range(20)]
    for run_id in run_ids:
        installation.deliver(run_id)
    installation.wait_until_answered(run_ids)
    wait_for(lambda: not _doctor(installation), within_s=120, what="doctor")
