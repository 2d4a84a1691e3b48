"""Flower finds the tasks of a run by its run id, and shows nobody's arguments or secrets."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

PLANTED = "ZZ-987654"
PASSWORD = "planted-flower-password"


@pytest.fixture
def flower(service, free_port, tmp_path):
    """Ask Flower, with or without the password; gives status and body."""
    port = free_port()
    options = ["--port", str(port), "--db", str(tmp_path / "flower")]
    env = {"FLOWER_PASSWORD": PASSWORD}
    child = service.stack.launch("flower", "-m", "ops.cli", "flower", *options, env=env)

    def ask(path, password=PASSWORD):
        pair = base64.b64encode(f"operator:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"} if password else {}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    service.wait_for(lambda: ask("/healthcheck")[0] == 200, within_s=20)
    yield ask
    child.stop()


def test_a_runs_tasks_are_found_by_its_run_id_without_its_arguments(service, flower):
    def tasks(run_id):
        status, body = flower(f"/api/tasks?{urllib.parse.urlencode({'search': run_id})}")
        assert status == 200
        return json.loads(body)

    def found():
        # Flower asks the workers for their events every 5 s, so the first runs may pass unseen
        run_id = service.new_run_id() + "-in-flower"
        arguments = json.dumps({"sku": PLANTED, "warehouse": "US-WEST"})
        service.deliver(
            run_id, ("c", "search_inventory", arguments), ("d", "search_inventory", arguments)
        )
        service.answer(run_id)
        names = {task["name"] for task in tasks(run_id).values()}
        return run_id if {"fan_out", "validate", "query", "submit"} <= names else None

    run_id = service.wait_for(found, within_s=30)
    every = tasks("")
    assert all(run_id in task["kwargs"] for task in tasks(run_id).values())
    assert max(len(task["kwargs"] or "") for task in every.values()) < 200
    said = json.dumps(every)
    for planted in (PLANTED, PASSWORD, service.stack.secret, "demo-secret"):
        assert planted not in said

    for path in ("/api/tasks", "/tasks", "/workers"):
        assert flower(path, password="")[0] == 401
        assert flower(path, password="wrong")[0] == 401
