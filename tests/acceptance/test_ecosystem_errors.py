"""Sentry's released Celery integration hears of a fault in any link, and of no caller's data."""

import json

import pytest

from tests.acceptance.instruments import errors

ARGUMENTS = json.dumps({"sku": "ZZ-987654", "warehouse": "US-WEST"})


@pytest.fixture
def reporting(own_service, tmp_path):
    """Start a service one of whose parts is broken; gives it and the folder of what is reported."""
    folder = tmp_path / "events"
    folder.mkdir()

    def start(broken):
        options = ("-I", "tests.acceptance.instruments.errors")
        env = {"EVENTS_DIR": str(folder), "BROKEN": broken, "RUN_ANSWER_BY_S": "3"}
        return own_service(worker_options=options, env=env), folder

    return start


@pytest.mark.parametrize("name", ["validate", "query", "submit"])
def test_a_fault_in_a_link_is_reported_with_its_task(reporting, name):
    service, folder = reporting(name)
    run_id = service.new_run_id()
    # the first call runs behind the fan-out, the second is a message
    key = service.deliver(
        run_id, *((f"c{n}", "search_inventory", ARGUMENTS) for n in range(2))
    ).body["key"]
    expected = {
        "validate": {f"{key}:0.1:validate:0", f"{key}:0.1:validate:1"},
        "query": {f"{key}:0.1:query:0", f"{key}:0.1:query:1"},
        "submit": {f"{key}:0:submit"},
    }[name]

    def reported():
        return {event["tags"]["celery_task_id"] for event in errors.events(folder)}

    service.wait_for(lambda: reported() >= expected)
    for event in errors.events(folder):
        if name == "submit":
            (fault,) = event["exception"]["values"]
            assert (fault["type"], fault["value"]) == ("RuntimeError", "broken on purpose")
        else:  # the answer of its call (db/faults.py), and reported by its log line
            assert "call.fault" in json.dumps(event)
            assert "RuntimeError" in json.dumps(event)
        assert event["extra"]["celery-job"]["task_name"] == name
        assert event["transaction"] == name
    text = json.dumps(errors.events(folder))
    for planted in ("ZZ-987654", service.stack.secret, "demo-secret", "reader:reader"):
        assert planted not in text
    # the run is answered in time all the same
    assert len(service.answer(run_id)) == 2
