"""A worker's main process sends its task events in one message each half second."""

import time
from types import SimpleNamespace

import pytest
from celery import Celery
from kombu.asynchronous.timer import Timer

from tasks.app import app as toolworker
from tasks.dispatcher import BatchDispatcher, Events
from tasks.events import FlushEvents


@pytest.fixture
def consumer():
    """A consumer's dispatcher and timer, and what its dispatcher has published: event types."""
    app = Celery("events", broker="memory://", events=Events)
    published = []

    def publish(events, **_):
        published.append([event["type"] for event in events])

    dispatcher = app.events.Dispatcher(
        app.connection_for_write(),
        buffer_group=["task"],
        on_send_buffered=lambda: dispatcher.flush(),  # as Celery's loop does at its next turn
    )
    dispatcher.producer = SimpleNamespace(publish=publish)
    return SimpleNamespace(event_dispatcher=dispatcher, timer=Timer(), published=published)


def test_events_of_half_a_second_go_out_in_one_message(consumer):
    step = FlushEvents(consumer)
    step.start(consumer)
    for kind in ("received", "started", "succeeded"):
        consumer.event_dispatcher.send(f"task-{kind}", uuid="u")
    assert consumer.published == []
    wait_s, entry = next(iter(consumer.timer))
    assert 0 < wait_s <= 0.5
    while entry is None:  # as a worker's loop does
        time.sleep(wait_s)
        wait_s, entry = next(iter(consumer.timer))
    entry()
    assert consumer.published == [["task-received", "task-started", "task-succeeded"]]


def test_the_dispatcher_of_workers_is_that_one():
    assert issubclass(toolworker.events.Dispatcher, BatchDispatcher)


def test_a_consumer_that_stops_leaves_no_event_behind(consumer):
    step = FlushEvents(consumer)
    step.start(consumer)
    consumer.event_dispatcher.send("task-succeeded", uuid="u")
    step.stop(consumer)
    step.stop(consumer)
    assert consumer.published == [["task-succeeded"]]
