"""The trace exporter: which traces it sends, and how it retries those that were not taken."""

import fakeredis
import pytest

from ledger import Ledger
from ops.observability.exporter import TraceExporter, Unavailable

CALL = {"id": "a", "type": "function", "function": {"name": "t", "arguments": "{}"}}


class Destination:
    """Keeps the keys of what it took; `answer` is True, False or an error."""

    def __init__(self):
        self.sent, self.answer, self.refused = [], True, set()
        self.meanwhile = lambda: None

    def send(self, traces):
        self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        ids = [trace.trace_id for trace in traces]
        if not self.answer or not self.refused.isdisjoint(ids):
            return False
        self.sent += ids
        return True


@pytest.fixture
def ledger():
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    return Ledger(fakeredis.FakeRedis(), **times, dead_letter_retention_s=600)


@pytest.fixture
def destination():
    return Destination()


def _exporter(ledger, destination, *, share=0.0, slow_ms=60_000):
    exporter = TraceExporter(ledger, destination, share=share, slow_ms=slow_ms)
    exporter.send_ended()  # from now on
    return exporter


def _end(ledger, run_id, *, code="ok", accepted_ms_ago=0):
    key = ledger.accept(run_id, [CALL]).key
    ledger.record(key, 0, 0, "{}", owner="o", code=code, query_ms=1)
    if accepted_ms_ago:
        ledger.client.hincrby(f"tw:run:{key}", "accepted_at", -accepted_ms_ago)
    ledger.claim(key, 0, b"body", seen=1, owner="h")
    ledger.finish(key, 0, {"status": 200, "took_ms": 0})
    return key


def test_errors_and_slow_runs_are_sent_and_none_of_the_others_without_a_share(ledger, destination):
    exporter = _exporter(ledger, destination)
    _end(ledger, "good")
    bad = _end(ledger, "bad", code="timeout")
    slow = _end(ledger, "slow", accepted_ms_ago=60_001)
    exporter.send_ended()
    assert sorted(destination.sent) == sorted([bad, slow])


def test_all_are_sent_with_a_share_of_one(ledger, destination):
    exporter = _exporter(ledger, destination, share=1.0)
    keys = [_end(ledger, f"r-{n}") for n in range(120)]
    while exporter.send_ended():
        pass
    assert sorted(destination.sent) == sorted(keys)


def test_what_was_not_taken_is_sent_again(ledger, destination):
    exporter = _exporter(ledger, destination, share=1.0)
    key = _end(ledger, "r")
    destination.answer = Unavailable("it answered 503")
    for _ in range(3):
        with pytest.raises(Unavailable):
            exporter.send_ended()
    destination.answer = True
    exporter.send_ended()
    exporter.send_ended()
    assert destination.sent == [key]


def test_what_is_refused_for_good_holds_up_no_other(ledger, destination):
    exporter = _exporter(ledger, destination, share=1.0)
    _end(ledger, "refused")
    destination.answer = False
    exporter.send_ended()
    destination.answer = True
    key = _end(ledger, "taken")
    exporter.send_ended()
    assert destination.sent == [key]


def test_a_run_whose_timeline_cannot_be_read_holds_up_no_other(ledger, destination):
    exporter = _exporter(ledger, destination, share=1.0)
    broken = _end(ledger, "broken")
    ledger.client.hset(f"tw:run:{broken}", "accepted_at", "yesterday")
    key = _end(ledger, "good")
    exporter.send_ended()
    exporter.send_ended()
    assert destination.sent == [key]


def test_a_trace_that_is_refused_takes_none_of_its_batch_with_it(ledger, destination):
    exporter = _exporter(ledger, destination, share=1.0)
    keys = [_end(ledger, f"r-{n}") for n in range(5)]
    destination.refused = {keys[3]}
    exporter.send_ended()
    exporter.send_ended()
    assert sorted(destination.sent) == sorted(set(keys) - {keys[3]})


def test_an_exporter_that_lost_its_lease_sends_no_further_batch(ledger, destination, monkeypatch):
    exporter = _exporter(ledger, destination, share=1.0)
    monkeypatch.setattr("ops.observability.exporter.SPANS_AT_ONCE", 1)  # one run each
    for number in range(3):
        _end(ledger, f"r-{number}")
    destination.meanwhile = lambda: ledger.client.hset("tw:exports", "owner", "another")
    assert exporter.send_ended() is False
    assert len(destination.sent) == 1
