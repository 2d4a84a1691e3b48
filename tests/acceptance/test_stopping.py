"""A worker that is stopped finishes what runs, takes nothing new, and leaves the rest queued."""

import contextlib
import signal
import threading

import pytest
from celery import Celery
from celery.events.state import State

HOLD = ("held", "hold", '{"seconds": 2}')
GOOD = ("good", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')


@pytest.fixture(scope="module")
def service(start_service, tools_with_hold):
    """A service whose workers have one process each."""
    return start_service(tools_dir=tools_with_hold, concurrency=1)


@pytest.fixture
def stopping(service):
    """A service whose one worker was stopped (SIGTERM) in the middle of a call."""
    run_id = f"{service.new_run_id()}-running"
    key = service.deliver(run_id, HOLD).body["key"]
    service.owner_pid(key, 0)
    worker = service.stack.children("worker")[0]
    service.kill(worker.pid, signal.SIGTERM)
    service.wait_for(lambda: worker.has_logged("arm shutdown"))
    return service, worker, run_id


@pytest.fixture
def tasks(service):
    """What Flower would know of the tasks that run meanwhile: Celery's own state of events."""
    app, state, subscribed = Celery(set_as_current=False), State(), threading.Event()
    is_over = threading.Event()

    def receive():
        with app.connection_for_read(service.stack.env["REDIS_URL"]) as connection:
            receiver = app.events.Receiver(connection, handlers={"*": state.event})
            with receiver.consumer_context(wakeup=False) as (consuming, _, _):
                while not is_over.is_set():
                    with contextlib.suppress(TimeoutError):
                        consuming.drain_events(timeout=0.2)
                    subscribed.set()  # it subscribes when it is first drained

    thread = threading.Thread(target=receive)
    thread.start()
    assert subscribed.wait(60)
    yield lambda: sorted((task.name, task.state) for task in state.tasks.values())
    is_over.set()
    thread.join()


def test_no_task_of_a_stopped_worker_is_left_unfinished_in_flower(tasks, stopping):
    service, worker, _ = stopping
    service.wait_for(lambda: worker.has_ended)
    service.stack.start_worker()
    links = [(name, "SUCCESS") for name in ("fan_out", "query", "submit", "validate")]
    service.wait_for(lambda: tasks() == links)


def test_a_stopped_worker_finishes_its_call_and_leaves_the_next_run_queued(stopping):
    service, worker, run_id = stopping
    service.deliver("queued", GOOD)
    assert service.answer(run_id)["held"]["total"] == 1
    service.wait_for(lambda: worker.has_ended)
    assert service.submissions("queued") == []
    service.stack.start_worker()
    assert service.answer("queued")["good"]["total"] == 2
    assert [len(service.submissions(name)) for name in (run_id, "queued")] == [1, 1]


def test_an_idle_worker_that_is_stopped_ends_before_one_second_of_work_is_lost(service):
    service.stack.start_worker()
    first = service.stack.children("worker")[0]
    service.kill(first.pid, signal.SIGTERM)
    service.deliver("meanwhile", GOOD)
    assert service.answer("meanwhile")["good"]["total"] == 2
    service.wait_for(lambda: first.has_ended)
