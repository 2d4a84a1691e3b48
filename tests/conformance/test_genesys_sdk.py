"""Genesys' own SDK works with the simulator, and gets the answers that our client gets."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
import requests

from genesys.auth.token_request import TokenRequest
from genesys.regions import REGIONS

pytestmark = pytest.mark.conformance

PATH = "/api/v2/ai/assistants/runs/{runId}/tool_calls"
GOOD = {"tool_calls": [{"tool_call_id": "c", "output": "{}"}]}


@pytest.fixture(scope="module")
def sdk():
    import PureCloudPlatformClientV2  # large, and only here

    return PureCloudPlatformClientV2


@pytest.fixture
def refused(sdk):
    """The exception that the SDK raises for an answer that is no 2xx."""
    from PureCloudPlatformClientV2.rest import ApiException

    return ApiException


@pytest.fixture
def submit(sdk, simulator):
    """Submit to a run with the SDK, which has its token from the simulator."""
    client = sdk.ApiClient(host=simulator).get_client_credentials_token(
        "demo-client", "demo-secret"
    )

    def call(run_id="r", body=GOOD):
        return client.call_api(
            PATH,
            "POST",
            {"runId": run_id},
            {},
            {"Content-Type": "application/json", "Accept": "application/json"},
            body=body,
            response_type="object",
            auth_settings=["PureCloud OAuth"],
        )

    return call


def _faults(url, *entries):
    requests.put(f"{url}/_sim/faults", json={"submit": entries}, timeout=5).raise_for_status()


def _posts(url):
    return requests.get(f"{url}/_sim/submissions", timeout=5).json()


def _deliver(url, receiver_url, run_id):
    function = {"name": "get_order", "arguments": "{}"}
    calls = [{"id": i, "type": "function", "function": function} for i in ("a", "b")]
    order = {
        "url": receiver_url,
        "secret": "s",
        "delivery": {"run_id": run_id, "tool_calls": calls},
    }
    requests.post(f"{url}/_sim/deliveries", json=order, timeout=20).raise_for_status()


def test_it_gets_a_token_and_submits(simulator, submit):
    assert submit() == {"run_id": "r", "status": "in_progress"}
    assert requests.get(f"{simulator}/_sim/tokens", timeout=5).json()["requests"] == 1
    (post,) = _posts(simulator)
    assert (post["status"], post["body"]) == (200, GOOD)


def test_wrong_credentials_are_the_oauth_400_that_it_knows(sdk, refused, simulator):
    with pytest.raises(refused) as failed:
        sdk.ApiClient(host=simulator).get_client_credentials_token("demo-client", "wrong")
    assert failed.value.status == 400
    assert json.loads(failed.value.body)["error"] == "invalid_client"


def test_it_waits_for_retry_after_and_sends_again(simulator, submit):
    _faults(simulator, {"status": 429, "retry_after": 1})
    began = time.monotonic()
    assert submit()["status"] == "in_progress"
    assert time.monotonic() - began >= 1
    assert [post["status"] for post in _posts(simulator)] == [429, 200]


def test_it_sees_a_429_without_retry_after_as_genesys_words_it(refused, simulator, submit):
    _faults(simulator, {"status": 429, "retry_after": None})
    with pytest.raises(refused) as failed:
        submit()
    body = json.loads(failed.value.body)
    assert (failed.value.status, body["status"]) == (429, 429)
    assert body["code"] == "too.many.requests.retry.after"
    assert body["message"].startswith("Rate limit exceeded the maximum.")
    assert "Retry-After" not in failed.value.headers


def test_it_sees_a_422_for_a_run_whose_outputs_are_not_all_there(
    refused, simulator, submit, free_port
):
    # no receiver listens; the simulator remembers the run's calls all the same
    _deliver(simulator, f"http://127.0.0.1:{free_port()}/", "incomplete")
    with pytest.raises(refused) as failed:
        submit("incomplete", {"tool_calls": [{"tool_call_id": "a", "output": "{}"}]})
    body = json.loads(failed.value.body)
    assert (failed.value.status, body["code"]) == (422, "payload.or.params.invalid")
    assert "Expected tool outputs" in body["message"]
    assert failed.value.headers["ININ-Correlation-Id"]
    both = [{"tool_call_id": i, "output": "{}"} for i in ("a", "b")]
    assert submit("incomplete", {"tool_calls": both})["status"] == "in_progress"


def test_it_sees_a_401_when_its_token_is_not_known(refused, simulator, submit):
    requests.delete(f"{simulator}/_sim/state", timeout=5)  # it forgets the token
    with pytest.raises(refused) as failed:
        submit()
    assert failed.value.status == 401
    assert json.loads(failed.value.body)["code"] == "bad.credentials"


@pytest.fixture
def login():
    """A token endpoint that keeps what it is sent: its URL, and (path, authorization, form)."""
    sent = []

    class Login(BaseHTTPRequestHandler):
        def do_POST(self):
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            sent.append((self.path, self.headers["Authorization"], form))
            body = b'{"access_token": "t", "token_type": "bearer", "expires_in": 86399}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


def test_the_regions_are_those_that_it_has(sdk):
    hosts = {region.get_api_host() for region in sdk.PureCloudRegionHosts}
    assert {f"https://api.{domain}" for domain in REGIONS} == hosts


def test_our_token_request_is_the_one_it_sends_and_a_scope(sdk, login):
    url, sent = login
    sdk.ApiClient(host=url).get_client_credentials_token("id", "secret")
    TokenRequest(url, "id", "secret", "ai:assistant:run:write").send(5)
    (path, authorization, form), ours = sent
    assert ours == (path, authorization, {**form, "scope": ["ai:assistant:run:write"]})
    assert (path, form) == ("/oauth/token", {"grant_type": ["client_credentials"]})
