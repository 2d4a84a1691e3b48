"""docker-compose.yml on a real engine: up, broken, scaled and down again, with nothing lost."""

import json
import os
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

from ops import deliveries
from ops.server import free_port

pytestmark = pytest.mark.compose

_ROOT = Path(__file__).resolve().parents[2]
_SECRET = b"demo-webhook-secret"
_CALL = {
    "id": "c",
    "type": "function",
    "function": {
        "name": "search_inventory",
        "arguments": '{"sku": "AB-1001", "warehouse": "US-WEST"}',
    },
}


class Compose:
    """The demo's compose project, under a name and on ports of its own."""

    def __init__(self):
        self.webhook, self.simulator, self.flower = free_port(), free_port(), free_port()
        self._env = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": f"toolworker-check-{uuid.uuid4().hex[:8]}",
            "WEBHOOK_PORT": str(self.webhook),
            "SIMULATOR_PORT": str(self.simulator),
            "FLOWER_PORT": str(self.flower),
        }

    def __call__(self, *arguments, timeout_s=600):
        """The standard output of `docker compose …`."""
        done = subprocess.run(
            ["docker", "compose", "--env-file", ".env.demo", *arguments],
            cwd=_ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr[-4000:]}"
        return done.stdout

    def up(self, *, workers):
        self("up", "-d", "--wait", "--scale", f"worker={workers}", "--no-recreate")

    def containers(self, service):
        return self("ps", "-q", service).split()

    def deliver(self, run_id):
        """Send one delivery, as often as a sender who is told to come back would."""
        body = json.dumps({"run_id": run_id, "tool_calls": [_CALL]}).encode()
        url = f"http://127.0.0.1:{self.webhook}/webhook/tool-calls"
        deadline = time.monotonic() + 60
        while True:
            try:
                if deliveries.send(url, body, secret=_SECRET).status == 202:
                    return
            except deliveries.NoAnswer:
                pass
            assert time.monotonic() < deadline, run_id
            time.sleep(0.2)

    def submissions(self):
        url = f"http://127.0.0.1:{self.simulator}/_sim/submissions"
        return [entry for entry in deliveries.get(url).body if entry["status"] == 200]

    def wait_until_answered(self, run_ids, *, within_s=90):
        deadline = time.monotonic() + within_s
        while missing := set(run_ids) - {entry["run_id"] for entry in self.submissions()}:
            assert time.monotonic() < deadline, f"{len(missing)} of {len(run_ids)} not answered"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def compose():
    project = Compose()
    project("build")
    try:
        project.up(workers=3)
        yield project
    finally:
        project("down", "-v", "--timeout", "60")


def _docker(*arguments):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_100_deliveries_are_answered_though_a_worker_dies_and_redis_restarts(compose):
    run_ids = [f"run-{number}" for number in range(100)]
    for number, run_id in enumerate(run_ids):
        if number == 30:
            _docker("kill", compose.containers("worker")[0])
        if number == 60:
            compose("restart", "redis")
        compose.deliver(run_id)
    compose.wait_until_answered(run_ids)
    outputs = [entry["body"]["tool_calls"][0]["output"] for entry in compose.submissions()]
    assert {json.loads(output)["items"][0]["quantity"] for output in outputs} == {166}


def test_scaling_4_1_4_under_load_loses_nothing(compose):
    run_ids = [f"scaled-{number}" for number in range(200)]

    def send():
        for run_id in run_ids:
            compose.deliver(run_id)
            time.sleep(0.1)

    sender = threading.Thread(target=send)
    sender.start()
    for workers in (4, 1, 4):
        compose.up(workers=workers)
        assert len(compose.containers("worker")) == workers
    sender.join()
    compose.wait_until_answered(run_ids)
    bodies = {}
    for entry in compose.submissions():
        bodies.setdefault(entry["run_id"], set()).add(entry["sha256"])
    assert all(len(digests) == 1 for digests in bodies.values())


def test_no_container_runs_as_root_or_shows_a_secret(compose):
    for service in ("webhook", "worker", "reconciler", "flower"):
        for container in compose.containers(service):
            found = json.loads(_docker("inspect", container))[0]
            assert found["Config"]["User"] == "toolworker"
            assert found["HostConfig"]["ReadonlyRootfs"]
            environment = "\n".join(found["Config"]["Env"])
            secrets = "demo-secret", "demo-webhook-secret", "demo-flower", "demo-redis", "reader@"
            for secret in secrets:
                assert secret not in environment


def test_redis_answers_nobody_without_the_password(compose):
    for service in ("redis", "ledger"):
        said = _docker("exec", compose.containers(service)[0], "redis-cli", "dbsize")
        assert said.startswith("NOAUTH")


def test_a_command_in_a_container_says_why_a_run_ended_as_it_did(compose):
    compose.deliver("asked-about")
    compose.wait_until_answered(["asked-about"])
    deadline = time.monotonic() + 20
    while "DONE" not in (said := _why(compose, "asked-about")):
        assert time.monotonic() < deadline, said


def _why(compose, run_id):
    container = compose.containers("worker")[0]
    done = subprocess.run(
        ["docker", "exec", container, "toolworker", "runs", "why", run_id],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    return done.stdout
