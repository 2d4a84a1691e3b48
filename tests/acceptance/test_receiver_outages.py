"""A delivery is safe or refused in time, whatever is away or dies while it is accepted."""

import http.client
import json
import signal
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops import deliveries

GOOD = ("good", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
AWAY = {"error": "The run cannot be stored right now; send it again later."}


def _children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _get(service, path):
    answer = deliveries.get(service.stack.webhook_url + path)
    return answer.status, answer.body


def test_a_worker_killed_between_accept_and_publish_does_not_cost_the_run(own_service):
    service = own_service()
    master = service.stack.children("webhook")[0].pid
    seen = []

    def deliver():
        try:
            seen.append(service.deliver("r", GOOD).status)
        except (deliveries.NoAnswer, http.client.HTTPException):
            seen.append(None)

    # nothing was published yet, so the publish waits for a greeting that does not come
    service.kill(service.stack.broker.pid, signal.SIGSTOP)
    try:
        sender = threading.Thread(target=deliver)
        sender.start()
        service.wait_for(lambda: service.ledger().zcard("tw:due") == 1, within_s=5)
        for pid in _children(master):
            service.kill(pid)
        sender.join(10)
    finally:
        service.kill(service.stack.broker.pid, signal.SIGCONT)
    assert seen == [None]  # no 202 went out; the sender will try again
    answer = service.wait_for(lambda: _try_to_deliver(service))
    assert (answer.status, answer.body.get("duplicate")) == (202, True)
    assert service.answer("r", within_s=25)["good"]["total"] == 2
    assert len(service.submissions("r")) == 1


def _try_to_deliver(service):
    try:
        return service.deliver("r", GOOD)
    except deliveries.NoAnswer:
        return None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_while_the_broker_alone_is_away_it_is_ready_and_says_202(own_service, how):
    service = own_service()
    broker = service.stack.broker
    if how == signal.SIGSTOP:
        service.kill(broker.pid, how)
    else:
        broker.stop(how)
    try:
        for number in range(3):
            began = time.monotonic()
            assert service.deliver(f"r{number}", GOOD).status == 202
            assert time.monotonic() - began < 1.2
        assert _get(service, "/readyz") == (200, {"status": "ready"})
    finally:
        if how == signal.SIGSTOP:
            service.kill(broker.pid, signal.SIGCONT)
        else:
            broker.start()
    for number in range(3):
        assert service.answer(f"r{number}", within_s=35)["good"]["total"] == 2


def test_many_senders_at_once_are_all_refused_in_time_while_the_ledger_is_stalled(own_service):
    service = own_service(workers=0, reconcilers=0)
    service.deliver("before", GOOD)
    found = []

    def deliver(number):
        began = time.monotonic()
        answer = service.deliver(f"r{number}", GOOD)
        found.append((answer.status, answer.body, time.monotonic() - began))

    service.kill(service.stack.ledger.pid, signal.SIGSTOP)
    try:
        senders = [threading.Thread(target=deliver, args=(number,)) for number in range(60)]
        for sender in senders:
            sender.start()
        live_in_s = []
        for _ in range(3):
            began = time.monotonic()
            assert _get(service, "/livez") == (200, {"status": "live"})
            live_in_s.append(time.monotonic() - began)
        for sender in senders:
            sender.join()
    finally:
        service.kill(service.stack.ledger.pid, signal.SIGCONT)
    assert [(status, body) for status, body, _ in found] == [(503, AWAY)] * 60
    # 16 threads wait for 0.4 s each; the rest must not wait for them in line
    assert max(took_s for *_, took_s in found) < 1.5
    assert max(live_in_s) < 1.5
    service.wait_for(lambda: service.deliver("after", GOOD).status == 202, within_s=5)


def test_a_receiver_that_is_told_to_stop_answers_what_it_has_begun(own_service):
    service = own_service(workers=0, reconcilers=0)
    netloc = urlsplit(service.stack.webhook_url).netloc
    connection = http.client.HTTPConnection(netloc, timeout=10)
    body = json.dumps({"run_id": "r", "tool_calls": []}).encode()
    connection.putrequest("POST", "/webhook/tool-calls")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.putheader(
        "X-Hub-Signature-256", deliveries.signature(body, service.stack.secret.encode())
    )
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # it has begun
    service.kill(service.stack.children("webhook")[0].pid, signal.SIGTERM)
    connection.send(body)
    assert connection.getresponse().status == 202
    connection.close()
