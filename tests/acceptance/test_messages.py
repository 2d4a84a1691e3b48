"""A message that is not JSON is refused: a writer to the broker cannot run code in a worker."""

import base64
import json
import os
import pickle

import pytest

CALL = ("c", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
REFUSED = "Refusing to deserialize untrusted content of type pickle"


class _Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder):
        self._folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self._folder),)


def _pickled(value, headers):
    """A message as Celery's pickle serialiser would leave it on kombu's list."""
    return {
        "body": base64.b64encode(pickle.dumps(value)).decode(),
        "content-encoding": "binary",
        "content-type": "application/x-python-serialize",
        "headers": headers,
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "toolworker"},
            "delivery_tag": "pickled",
        },
    }


@pytest.mark.parametrize(
    "headers",
    [{"id": "pickled", "task": "fan_out", "lang": "py"}, {}],
    ids=["with_a_task_of_ours", "without_headers"],
)
def test_a_pickled_message_is_refused_and_logged_and_the_worker_goes_on(service, tmp_path, headers):
    trap, pids, before = tmp_path / "trap", service.stack.worker_pids, service.logs().count(REFUSED)
    message = _pickled([[], {"run_id": _Trap(trap)}, {}], headers)
    service.broker().lpush("toolworker", json.dumps(message))
    service.wait_for(lambda: service.logs().count(REFUSED) > before)
    run_id = service.new_run_id()
    service.deliver(run_id, CALL)
    assert service.answer(run_id)["c"]["total"] == 2
    assert service.stack.worker_pids == pids
    assert not trap.exists()
    assert not service.broker().hexists("unacked", "pickled")  # it does not come again
