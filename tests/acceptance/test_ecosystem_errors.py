"""Sentry's released Celery integration reports a fault in any link, without a caller's data."""

import json

import pytest

from tests.acceptance.instruments import errors

ARGUMENTS = json.dumps({"sku": "ZZ-987654", "warehouse": "US-WEST"})


@pytest.fixture(scope="module")
def reporting(start_service, tmp_path_factory):
    """A service whose worker reports its errors, and their folder."""
    folder = tmp_path_factory.mktemp("events")
    options = ("-I", "tests.acceptance.instruments.errors")
    env = {"EVENTS_DIR": str(folder), "RUN_ANSWER_BY_S": "8"}
    return start_service(worker_options=options, env=env), folder


@pytest.mark.parametrize("name", ["validate", "query", "submit"])
def test_a_fault_in_a_link_is_reported_with_its_task(reporting, name):
    service, folder = reporting
    run_id = service.new_run_id()
    # the first call runs behind the fan-out, the second is a message
    calls = [(f"c{n}", "search_inventory", ARGUMENTS) for n in range(2)]
    with errors.broken(folder, name):
        key = service.deliver(run_id, *calls).body["key"]
        expected = {
            "validate": {f"{key}:0.1:validate:0", f"{key}:0.1:validate:1"},
            "query": {f"{key}:0.1:query:0", f"{key}:0.1:query:1"},
            "submit": {f"{key}:0:submit"},
        }[name]

        def reported():
            every = [event for event in errors.events(folder) if key in _task_id(event)]
            return every if {_task_id(event) for event in every} >= expected else None

        found = service.wait_for(reported)
        # the run is answered in time all the same
        assert len(service.answer(run_id)) == 2
    for event in found:
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


def _task_id(event):
    return event["tags"].get("celery_task_id", "")
