"""A delivery is safe or refused in time, although Redis or a process fails while it is accepted."""

import http.client
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ops import deliveries
from tests.receiver import delivery, running_receiver, signed
from tests.timing import until_unstalled

GOOD = ("good", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
AWAY = {"error": "The run cannot be stored right now; send it again later."}


@pytest.fixture(scope="module")
def shared(start_service):
    """One stack for all outages; each test repairs what it broke."""
    return start_service()


@pytest.fixture
def service(shared):
    yield shared
    shared.is_patient = True
    shared.wait_for(lambda: _get(shared, "/readyz")[0] == 200)


def _children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _get(service, path):
    answer = deliveries.get(service.stack.webhook_url + path)
    return answer.status, answer.body


def test_a_worker_killed_between_accept_and_publish_does_not_cost_the_run(service):
    # the first test: nothing was published, so the publish waits for a greeting that never comes
    master = service.stack.children("webhook")[0].pid

    def deliver(run_id, seen):
        try:
            seen.append(service.deliver(run_id, GOOD).status)
        except (deliveries.NoAnswer, http.client.HTTPException):
            seen.append(None)

    def attempt():
        run_id, seen = service.new_run_id(), []
        service.wait_for(lambda: service.ledger().zcard("tw:due") == 0)
        service.kill(service.stack.broker.pid, signal.SIGSTOP)
        try:
            sender = threading.Thread(target=deliver, args=(run_id, seen))
            sender.start()
            service.wait_for(lambda: service.ledger().zcard("tw:due") == 1)
            # those that replace them have published nothing, either
            for pid in _children(master):
                service.kill(pid)
            sender.join(60)
        finally:
            service.kill(service.stack.broker.pid, signal.SIGCONT)
        # no 202 went out, and the sender will try again; or it went out before they were killed
        assert len(seen) == 1
        return run_id if seen == [None] else None

    run_id = until_unstalled(attempt)
    answer = service.wait_for(lambda: _try_to_deliver(service, run_id))
    assert (answer.status, answer.body.get("duplicate")) == (202, True)
    assert service.answer(run_id, within_s=25)["good"]["total"] == 2
    assert len(service.submissions(run_id)) == 1


def _try_to_deliver(service, run_id):
    try:
        return service.deliver(run_id, GOOD)
    except deliveries.NoAnswer:
        return None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_while_the_broker_alone_is_down_it_is_ready_and_answers_202(service, how):
    broker, run_ids = service.stack.broker, []

    def attempt():
        if how == signal.SIGSTOP:
            service.kill(broker.pid, how)
        else:
            broker.stop(how)
        try:
            took_s = []
            for _ in range(3):
                run_ids.append(service.new_run_id())
                began = time.monotonic()
                assert service.deliver(run_ids[-1], GOOD).status == 202
                took_s.append(time.monotonic() - began)
            assert _get(service, "/readyz") == (200, {"status": "ready"})
        finally:
            if how == signal.SIGSTOP:
                service.kill(broker.pid, signal.SIGCONT)
            else:
                broker.start()
        return True if max(took_s) < 1.2 else None

    until_unstalled(attempt)
    for run_id in run_ids:
        assert service.answer(run_id, within_s=35)["good"]["total"] == 2


def test_many_senders_at_once_are_all_refused_in_time_while_the_ledger_is_stalled(service):
    service.deliver("before", GOOD)
    service.is_patient = False

    def deliver(number, found):
        began = time.monotonic()
        answer = service.deliver(f"r{number}", GOOD)
        found.append((answer.status, answer.body, time.monotonic() - began))

    def attempt():
        found, live_in_s = [], []
        service.kill(service.stack.ledger.pid, signal.SIGSTOP)
        try:
            senders = [threading.Thread(target=deliver, args=(n, found)) for n in range(60)]
            for sender in senders:
                sender.start()
            for _ in range(3):
                began = time.monotonic()
                assert _get(service, "/livez") == (200, {"status": "live"})
                live_in_s.append(time.monotonic() - began)
            for sender in senders:
                sender.join()
        finally:
            service.kill(service.stack.ledger.pid, signal.SIGCONT)
        assert [(status, body) for status, body, _ in found] == [(503, AWAY)] * 60
        # one thread of each process waits, for two tries of 0.3 s; the rest must not wait in line
        return True if max(*live_in_s, *(took_s for *_, took_s in found)) < 1.5 else None

    until_unstalled(attempt)
    service.wait_for(lambda: service.deliver("after", GOOD).status == 202)


def test_a_receiver_that_is_stopped_answers_what_it_has_begun(redis_server, tmp_path):
    body = delivery("begun-before-the-stop")
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Expect": "100-continue",
        **signed(body),
    }
    with running_receiver(tmp_path, redis_server.url) as receiver:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=30)
        connection.putrequest("POST", "/webhook/tool-calls")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # it has begun
        os.kill(receiver.master.pid, signal.SIGTERM)
        connection.send(body)
        assert connection.getresponse().status == 202
        connection.close()
