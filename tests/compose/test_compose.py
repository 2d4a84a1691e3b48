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


def test_flower_is_in_its_own_container_and_in_no_other(compose):
    code = "from importlib.util import find_spec; print(find_spec('flower') is not None)"
    has_flower = {
        service: docker("exec", compose.containers(service)[0], "python", "-c", code) == "True"
        for service in ("webhook", "worker", "reconciler", "flower", "dashboard")
    }
    assert [service for service, has_it in has_flower.items() if has_it] == ["flower"]


def test_a_workers_image_refuses_to_be_flower_in_a_sentence(compose):
    worker = compose.containers("worker")[0]
    for command, code in (("toolworker flower", 1), ("celery -A tasks flower", 2)):
        done = subprocess.run(
            ["docker", "exec", worker, *command.split()],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr


def test_a_worker_serves_metrics_without_a_folder_chosen_for_it(compose):
    # nothing that Celery's command imports in this image has chosen prometheus_client's mode
    worker = ["env", "-u", "PROMETHEUS_MULTIPROC_DIR", "celery", "-A", "tasks", "worker", "-c1"]
    container = compose("run", "-d", "--no-deps", "worker", *worker).split()[-1]
    try:
        deadline = time.monotonic() + 60
        while " ready." not in (log := _log(container)):
            assert time.monotonic() < deadline, log
            time.sleep(0.5)
        assert "metrics.served" in log
    finally:
        docker("stop", container)
        docker("rm", container)


def _log(container):
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


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
