"""docker-compose.yml on a real engine: up, broken, scaled and down again, with nothing lost."""

import json
import subprocess
import threading
import time

import pytest

from tests.compose.project import docker

pytestmark = pytest.mark.compose


def test_100_deliveries_are_answered_though_a_worker_dies_and_redis_restarts(compose):
    run_ids = [f"run-{number}" for number in range(100)]
    for number, run_id in enumerate(run_ids):
        if number == 30:
            docker("kill", compose.containers("worker")[0])
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
    assert {len(bodies[run_id]) for run_id in run_ids} == {1}


def test_no_container_runs_as_root_or_shows_a_secret(compose):
    for service in ("webhook", "worker", "reconciler", "flower", "dashboard"):
        for container in compose.containers(service):
            found = json.loads(docker("inspect", container))[0]
            assert found["Config"]["User"] == "toolworker"
            assert found["HostConfig"]["ReadonlyRootfs"]
            environment = "\n".join(found["Config"]["Env"])
            secrets = "demo-secret", "demo-webhook-secret", "demo-flower", "demo-redis", "reader@"
            for secret in secrets:
                assert secret not in environment


def test_redis_answers_no_client_without_the_password(compose):
    for service in ("redis", "ledger"):
        said = docker("exec", compose.containers(service)[0], "redis-cli", "dbsize")
        assert said.startswith("NOAUTH")


def test_a_command_in_a_container_diagnoses_an_ended_run(compose):
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
