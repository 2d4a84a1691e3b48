"""Flower finds the tasks of a run by its run id, and shows no arguments or secrets."""

import base64
import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

import pytest

from ops.dev.server import free_port
from tests.receiver import ROOT
from tests.timing import until_unstalled

PLANTED = "ZZ-987654"
BOUND = 1234554321
GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
PASSWORD = "planted-flower-password"
# as Kubernetes sets for a service called flower, and what would open the door
FOREIGN = {
    "FLOWER_PORT": "tcp://10.0.0.9:5555",
    "FLOWER_PORT_5555_TCP_ADDR": "10.0.0.9",
    "FLOWER_SERVICE_HOST": "10.0.0.9",
    "FLOWER_BASIC_AUTH": "operator:wrong",
    "FLOWER_UNAUTHENTICATED_API": "true",
    "FLOWER_ADDRESS": "10.0.0.9",
    "APP": "nowhere",
}


@contextmanager
def running_flower(service, port, folder):
    """Ask Flower, with or without the password; gives status and body."""
    options = ["--port", str(port), "--db", str(folder / "flower")]
    env = {"FLOWER_PASSWORD": PASSWORD, **FOREIGN}
    child = service.stack.launch("flower", "-m", "ops.cli", "flower", *options, env=env)

    def ask(path, password=PASSWORD):
        pair = base64.b64encode(f"operator:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"} if password else {}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    service.wait_for(lambda: ask("/healthcheck")[0] == 200)
    try:
        yield ask
    finally:
        child.stop()


@pytest.fixture(scope="module")
def watched(start_service, tools_with_hold, tmp_path_factory):
    """A service that Flower watches: GET of Flower's API, and its tasks for a run id."""
    tools = tmp_path_factory.mktemp("bound") / "tools"
    shutil.copytree(tools_with_hold, tools)
    shutil.copytree(ROOT / "ops/dev/demo/tools/list_my_invoices", tools / "list_my_invoices")
    # more than are sent in a minute: 200 runs, and those of each look before Flower watches
    service = start_service(tools_dir=tools, env={"GENESYS_REQUESTS_PER_MINUTE": "100000"})
    with running_flower(service, free_port(), tmp_path_factory.mktemp("flower")) as ask:

        def tasks(run_id):
            status, body = ask(f"/api/tasks?{urllib.parse.urlencode({'search': run_id})}")
            assert status == 200
            return json.loads(body)

        def is_watching():
            run_id = f"{service.new_run_id()}-before"
            service.deliver(run_id, ("c", "search_inventory", GOOD))
            service.answer(run_id)
            return tasks(run_id)

        service.wait_for(is_watching)
        yield service, ask, tasks


def test_a_links_time_is_its_own(watched):
    service, _, tasks = watched
    calls = [("a", "hold", '{"seconds": 0.3}'), ("b", "hold", '{"seconds": 0.3}')]

    def attempt():
        run_id, before = f"{service.new_run_id()}-timed", time.time()
        service.deliver(run_id, *calls)
        service.answer(run_id)

        def succeeded():
            found = tasks(run_id).values()
            return len(found) >= 6 and all(task["state"] == "SUCCESS" for task in found) and found

        times = {}
        for task in service.wait_for(succeeded):
            times.setdefault(task["name"], []).append(task["runtime"])
            assert before < task["received"] <= task["started"] <= task["succeeded"] < time.time()
            # else it would have the 0.3 s of the query in front of it, too
            assert 0 < task["runtime"] < task["succeeded"] - task["started"] + 0.1
        assert set(times) == {"fan_out", "validate", "query", "submit"}
        assert all(value >= 0.3 for value in times["query"])
        # a link with another's time in its own is as late in each run; one that was stopped is not
        is_own = max(times["validate"]) < 0.3 and max(times["query"] + times["submit"]) < 3
        is_once = {name: len(values) for name, values in times.items()} == {
            "fan_out": 1, "validate": 2, "query": 2, "submit": 1,
        }  # fmt: skip
        return True if is_own and is_once else None

    until_unstalled(attempt)


def test_after_200_runs_no_task_is_left_unfinished(watched):
    service, _, tasks = watched
    run_ids = [f"{service.new_run_id()}-of-200" for _ in range(200)]
    for number, run_id in enumerate(run_ids):
        calls = [(f"c{n}", "search_inventory", GOOD) for n in range(number % 3 + 1)]
        # the same delivery twice, whose duplicate makes no task
        assert service.deliver(run_id, *calls).status == 202
        assert service.deliver(run_id, *calls).body["duplicate"]
    service.wait_for(
        lambda: {r["run_id"] for r in service.all_submissions()} >= set(run_ids), within_s=60
    )

    def are_finished():
        # 67, 67 and 66 runs of one, two and three calls: a fan_out and a submit, two links a call;
        # a run that no worker began for 3 s has more
        found = [task for task in tasks("").values() if "-of-200" in (task["kwargs"] or "")]
        return len(found) >= 1198 and {task["state"] for task in found} == {"SUCCESS"}

    service.wait_for(are_finished)


def test_a_runs_tasks_are_found_by_its_run_id_without_its_arguments_and_what_is_bound(watched):
    service, flower, tasks = watched

    run_id = service.new_run_id() + "-in-flower"
    arguments = json.dumps({"sku": PLANTED, "warehouse": "US-WEST"})
    calls = [("c", "search_inventory", arguments), ("d", "list_my_invoices", "{}")]
    body = {
        "run_id": run_id,
        "context": {"customer_id": BOUND},
        "tool_calls": [
            {"id": i, "type": "function", "function": {"name": name, "arguments": text}}
            for i, name, text in calls
        ],
    }
    assert service.post(json.dumps(body).encode()).status == 202
    assert service.answer(run_id)["d"] == {"message": "There are no invoices."}

    def found():
        names = {task["name"] for task in tasks(run_id).values()}
        return {"fan_out", "validate", "query", "submit"} <= names

    service.wait_for(found)
    every = tasks("")
    assert all(run_id in task["kwargs"] for task in tasks(run_id).values())
    assert max(len(task["kwargs"] or "") for task in every.values()) < 200
    said = json.dumps(every)
    for planted in (PLANTED, str(BOUND), PASSWORD, service.stack.secret, "demo-secret"):
        assert planted not in said

    for path in ("/api/tasks", "/tasks", "/workers"):
        assert flower(path, password="")[0] == 401
        assert flower(path, password="wrong")[0] == 401
