"""The simulator as a program: endpoints and controls over HTTP, deliveries to a receiver."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests.receiver import wait_for

DELIVERY = {
    "run_id": "run/1",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "t", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "t", "arguments": "{}"}},
    ],
}
GOOD = {"tool_calls": [{"tool_call_id": i, "output": "{}"} for i in ("a", "b")]}


DEAD_PROXY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def program():
    """`python -m simulator` on a port of its own choice, which it prints."""
    command = [sys.executable, "-m", "simulator", "--port", "0", "--client-id", "me"]
    env = {**os.environ, "http_proxy": DEAD_PROXY, "no_proxy": ""}
    child = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        line = child.stdout.readline()
        assert line.startswith("simulated Genesys at http://127.0.0.1:")
        yield line.split()[-1]
    finally:
        child.kill()
        child.wait(timeout=60)
        child.stdout.close()


@pytest.fixture
def simulator(program):
    requests.delete(f"{program}/_sim/state", timeout=30).raise_for_status()
    return program


@pytest.fixture
def receiver():
    """Answers 202 and keeps what it was sent."""
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers["X-Hub-Signature-256"], body))
            answer = b'{"status": "accepted"}'
            self.send_response(202)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/webhook/tool-calls", received
    server.shutdown()
    server.server_close()


def _token(url, client_id="me"):
    answer = requests.post(
        f"{url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(client_id, "demo-secret"),
        timeout=30,
    )
    return answer.json()["access_token"]


def _submit(url, token, run="run%2F1", *, key="k", body=GOOD, timeout=30):
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    path = f"/api/v2/ai/assistants/runs/{run}/tool_calls"
    return requests.post(url + path, json=body, headers=headers, timeout=timeout)


def _records(url, **params):
    return requests.get(f"{url}/_sim/submissions", params=params, timeout=30).json()


def _put(url, path, value):
    return requests.put(f"{url}/_sim/{path}", json=value, timeout=30)


@pytest.mark.parametrize(
    ("scheme", "encode"),
    [({}, lambda d: base64.b64encode(d).decode()), ({"scheme": "hex"}, bytes.hex)],
)
def test_deliveries_are_signed_sent_as_often_as_ordered_and_reported(
    simulator, receiver, scheme, encode
):
    url, received = receiver
    order = {"url": url, "secret": "s3", "delivery": DELIVERY, "times": 2, **scheme}
    sent = requests.post(f"{simulator}/_sim/deliveries", json=order, timeout=60).json()
    assert [(one["status"], one["body"]) for one in sent] == [(202, '{"status": "accepted"}')] * 2
    assert all(0 <= one["took_ms"] < 10_000 for one in sent)
    assert len(received) == 2
    for signature, body in received:
        assert json.loads(body) == DELIVERY
        assert signature == "sha256=" + encode(hmac.digest(b"s3", body, hashlib.sha256))


def test_a_delivery_takes_no_proxy_of_the_environment(simulator, receiver):
    # where the simulator runs, http_proxy is one that does not answer
    order = {"url": receiver[0], "secret": "s3", "delivery": DELIVERY}
    (sent,) = requests.post(f"{simulator}/_sim/deliveries", json=order, timeout=60).json()
    assert (sent["status"], len(receiver[1])) == (202, 1)


def test_a_receiver_that_is_down_is_reported_too(simulator, free_port):
    url = f"http://127.0.0.1:{free_port()}/"
    order = {"url": url, "secret": "s3", "delivery": DELIVERY}
    (sent,) = requests.post(f"{simulator}/_sim/deliveries", json=order, timeout=60).json()
    assert sent["status"] == 0


def test_a_run_it_delivered_is_judged_strictly_and_recorded_with_its_decoded_id(
    simulator, receiver
):
    order = {"url": receiver[0], "secret": "s3", "delivery": DELIVERY}
    requests.post(f"{simulator}/_sim/deliveries", json=order, timeout=60).raise_for_status()
    token = _token(simulator)
    partial = {"tool_calls": GOOD["tool_calls"][:1]}
    assert _submit(simulator, token, body=partial).status_code == 422
    assert _submit(simulator, token).status_code == 200
    assert _submit(simulator, token).status_code == 200
    assert _submit(simulator, token, "other").status_code == 200
    found = _records(simulator, run_id="run/1")
    assert [(r["status"], r["duplicate"]) for r in found] == [
        (422, False),
        (200, False),
        (200, True),
    ]
    assert found[1]["body"] == GOOD
    assert found[1]["headers"]["Idempotency-Key"] == "k"
    assert token not in json.dumps(found)
    assert len(_records(simulator)) == 4


def test_an_unencoded_slash_is_another_path(simulator):
    answer = _submit(simulator, _token(simulator), "run/1")
    assert (answer.status_code, answer.json()["code"]) == (404, "not.found")


def test_every_answer_has_a_correlation_id_and_genesys_form(simulator):
    answer = requests.get(f"{simulator}/api/v2/nothing", timeout=30)
    assert answer.headers["ININ-Correlation-Id"]
    body = answer.json()
    assert (body["status"], body["code"], body["errors"]) == (404, "not.found", [])
    assert requests.post(f"{simulator}/oauth/token", timeout=30).headers["ININ-Correlation-Id"]


def test_faults_come_in_order_and_each_is_recorded(simulator):
    token = _token(simulator)
    faults = [503, {"status": 429, "retry_after": 2}, "drop", {"status": 200}]
    assert _put(simulator, "faults", {"submit": faults}).json() == {"submit": 4, "token": 0}
    assert _submit(simulator, token).json()["code"] == "service.unavailable"
    limited = _submit(simulator, token)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "2")
    assert limited.json()["code"] == "too.many.requests.retry.after"
    with pytest.raises(requests.ConnectionError):
        _submit(simulator, token)
    assert _submit(simulator, token).status_code == 200
    assert _submit(simulator, token).status_code == 200
    assert [r["status"] for r in _records(simulator)] == [503, 429, None, 200, 200]


def test_a_timeout_is_never_answered_until_the_state_is_forgotten(simulator):
    token = _token(simulator)
    _put(simulator, "faults", {"submit": ["timeout"]})
    with pytest.raises(requests.ReadTimeout):
        _submit(simulator, token, timeout=0.3)
    wait_for(lambda: _records(simulator))  # it may be read later than its sender waited
    assert [r["status"] for r in _records(simulator)] == [None]
    _put(simulator, "faults", {"submit": ["timeout"]})
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(_submit, simulator, token, timeout=60)
        wait_for(lambda: len(_records(simulator)) == 2)
        requests.delete(f"{simulator}/_sim/state", timeout=30)
        assert hanging.result(timeout=60).status_code == 504


def test_a_late_token_is_a_token(simulator):
    _put(simulator, "faults", {"token": [{"status": 200, "delay_s": 0.2}]})
    began = time.monotonic()
    assert _submit(simulator, _token(simulator)).status_code == 200
    assert time.monotonic() - began >= 0.2


def test_wrong_credentials_are_an_oauth_400(simulator):
    answer = requests.post(
        f"{simulator}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=("demo-client", "demo-secret"),  # the program was started with another id
        timeout=30,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
    assert requests.get(f"{simulator}/_sim/tokens", timeout=30).json() == {
        "requests": 1,
        "most_at_once": 1,
    }


@pytest.mark.parametrize(
    ("method", "path", "order"),
    [
        ("PUT", "faults", {"submit": ["explode"]}),
        ("PUT", "limits", {"speed": 1}),
        ("POST", "deliveries", {"url": "http://127.0.0.1:1"}),
        ("POST", "deliveries", {"url": "file:///etc/passwd", "secret": "s", "delivery": {}}),
        ("POST", "deliveries", {"url": "http://x", "secret": "s", "delivery": {}, "scheme": "rot"}),
        ("POST", "deliveries", {"url": "http://x", "secret": "s", "delivery": {}, "times": "2"}),
        ("POST", "deliveries", []),
        ("GET", "nothing", None),
    ],
)
def test_a_wrong_order_is_answered_with_a_sentence(simulator, method, path, order):
    answer = requests.request(method, f"{simulator}/_sim/{path}", json=order, timeout=30)
    assert answer.status_code in (400, 404)
    assert len(answer.json()["error"]) > 10


def test_a_burst_is_limited_by_token_and_every_attempt_counted(simulator):
    _put(simulator, "limits", {"requests_per_minute": 100})
    token = _token(simulator)
    with ThreadPoolExecutor(40) as pool:
        answers = list(
            pool.map(
                lambda n: _submit(simulator, token, f"r{n}", timeout=60).status_code, range(300)
            )
        )
    assert answers.count(200) == 100
    assert answers.count(429) == 200
    statuses = [record["status"] for record in _records(simulator)]
    assert (statuses.count(200), statuses.count(429)) == (100, 200)
