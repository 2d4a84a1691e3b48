"""Data actions behind the proxy of docker-compose.yml: a recreated endpoint is found again."""

import contextlib
import json
import subprocess
import time

import pytest

from tests.compose.project import ROOT, docker

pytestmark = pytest.mark.compose

SECRET = (ROOT / "ops/dev/demo/secrets/actions_secrets").read_text().strip().split(",")[0]
STOCK = json.dumps({"sku": "AB-1001", "warehouse": "US-WEST"})


@pytest.fixture
def actions(compose):
    compose.env["COMPOSE_PROFILES"] = "demo,actions"
    try:
        compose("up", "-d", "--wait", "--no-deps", "actions")
        yield compose
    finally:
        compose("rm", "-s", "-f", "actions")
        del compose.env["COMPOSE_PROFILES"]


def _call(compose):
    headers = {"X-API-Key": SECRET, "Content-Type": "application/json"}
    return compose.ask("POST", "/genesys/actions/search_inventory", STOCK, headers)


def _wait_for(condition, *, within_s):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)


def _is_live(compose):
    with contextlib.suppress(subprocess.CalledProcessError, ValueError):
        (container,) = compose.containers("actions")
        docker("exec", container, "toolworker", "healthy", "actions")
        return True
    return False


@pytest.mark.parametrize("end", [["rm", "-s", "-f"], ["kill"]])
def test_an_endpoint_that_was_recreated_is_found_again_within_five_seconds(actions, end):
    _wait_for(lambda: _call(actions)[0] == 200, within_s=5)
    actions(*end, "actions")
    status, answer, headers = _call(actions)
    assert (status, answer["code"], headers["Retry-After"]) == (503, "unavailable", "5")
    actions("up", "-d", "--no-deps", "--force-recreate", "actions")
    _wait_for(lambda: _call(actions)[0] == 200 or _is_live(actions), within_s=60)
    _wait_for(lambda: _call(actions)[0] == 200, within_s=5)


def test_the_proxy_keeps_its_connections_to_the_endpoint(actions):
    """Of 20 calls, one after another, few make a connection: one of each process of nginx."""
    (container,) = actions.containers("proxy")
    for _ in range(20):
        assert _call(actions)[0] == 200
    # the end that accepted has the listener's path, and belongs to the network of who connected
    sockets = docker("exec", container, "cat", "/proc/net/unix").splitlines()
    # 03: connected
    kept = [line for line in sockets if line.split()[5] == "03" and "actions.sock" in line]
    assert 1 <= len(kept) <= 2
