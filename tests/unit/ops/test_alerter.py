"""The alerter: when it sends an alert, and how it retries one that was not taken."""

import fakeredis
import pytest

from ledger import Ledger, alerts
from ledger.alerts import AlertStore
from ops.observability.alerts import Alerter, NoAnswer
from ops.observability.causes import Cause


class Receiver:
    """Answers 204, `status` to causes of `refused`, or not at all; `sent` is what it took."""

    def __init__(self):
        self.sent, self.tries, self.refused, self.is_down = [], 0, set(), False

    def send(self, event):
        self.tries += 1
        if self.is_down:
            raise NoAnswer("ConnectTimeout")
        if event.cause["name"] in self.refused:
            return 400
        self.sent.append((event.kind, event.cause["name"]))
        return 204


class Source:
    def __init__(self):
        self.names = []

    def causes(self):
        return [Cause(name, "", "a sentence", ()) for name in self.names]


@pytest.fixture
def client():
    return fakeredis.FakeRedis()


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def look(client, source, receiver):
    """Look twice while these causes hold, long enough apart for them to be reported or ended."""
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    ledger = Ledger(client, **times, dead_letter_retention_s=600)
    alerter = Alerter(AlertStore(ledger, "reconciler-1"), source, receiver)

    def look(*names):
        source.names = names
        alerter.look()
        for name, value in client.hgetall("tw:alerts").items():
            if name.startswith((b"new:", b"seen:")):
                client.hset("tw:alerts", name, int(value) - alerts.QUIET_MS)
        alerter._send_again_at = 0.0
        alerter.look()

    return look


def test_an_event_that_is_refused_holds_up_none_of_other_causes(look, receiver):
    receiver.refused = {"NO_WORKER"}
    look("NO_WORKER", "CIRCUIT_OPEN")
    look()
    assert receiver.sent == [("raised", "CIRCUIT_OPEN"), ("ended", "CIRCUIT_OPEN")]
    receiver.refused = set()
    look()
    assert receiver.sent[2:] == [("raised", "NO_WORKER"), ("ended", "NO_WORKER")]


def test_a_receiver_that_does_not_answer_is_tried_with_one_event_a_look(look, receiver):
    receiver.is_down = True
    look("NO_WORKER", "CIRCUIT_OPEN", "LEDGER_DISK")
    assert receiver.tries == 1
