"""A worker that is stopped finishes what runs, takes nothing new, and leaves the rest queued."""

import signal

import pytest

HOLD = ("held", "hold", '{"seconds": 2}')
GOOD = ("good", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')


@pytest.fixture(scope="module")
def service(start_service, tools_with_hold):
    """A service whose workers have one process each."""
    return start_service(tools_dir=tools_with_hold, concurrency=1)


@pytest.fixture
def stopping(service):
    """A service whose one worker was told to stop in the middle of a call."""
    key = service.deliver("running", HOLD).body["key"]
    service.holder_pid(key, 0)
    worker = service.stack.children("worker")[0]
    service.kill(worker.pid, signal.SIGTERM)
    service.wait_for(lambda: "warm shutdown" in service.logs().lower())
    return service, worker


def test_a_stopped_worker_finishes_its_call_and_leaves_the_next_run_queued(stopping):
    service, worker = stopping
    service.deliver("queued", GOOD)
    assert service.answer("running")["held"]["total"] == 1
    service.wait_for(lambda: worker.has_ended)
    assert service.submissions("queued") == []
    service.stack.start_worker()
    assert service.answer("queued")["good"]["total"] == 2
    assert [len(service.submissions(run_id)) for run_id in ("running", "queued")] == [1, 1]


def test_an_idle_worker_that_is_stopped_ends_before_one_second_of_work_is_lost(service):
    service.stack.start_worker()
    first = service.stack.children("worker")[0]
    service.kill(first.pid, signal.SIGTERM)
    service.deliver("meanwhile", GOOD)
    assert service.answer("meanwhile")["good"]["total"] == 2
    service.wait_for(lambda: first.has_ended)
