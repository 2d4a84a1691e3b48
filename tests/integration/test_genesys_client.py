"""The client against a simulated Genesys over HTTP: what each answer means."""

import pytest
import requests

from genesys.auth.token_request import TokenRequest
from genesys.auth.tokens import TokenSource
from genesys.client import Client
from genesys.errors import GenesysError, GenesysUnavailable, Rejected
from tests.receiver import wait_for
from tests.timing import in_time, until_unstalled

BODY = b'{"tool_calls":[{"tool_call_id":"c","output":"{}"}]}'
PATH = "/api/v2/ai/assistants/runs/{run_id}/tool_calls"


@pytest.fixture
def client(simulator):
    request = TokenRequest(simulator, "demo-client", "demo-secret", "ai:assistant:run:write")
    tokens = TokenSource(request)
    return Client(simulator + PATH, tokens, list_key="tool_calls")


def _faults(url, **faults):
    requests.put(f"{url}/_sim/faults", json=faults, timeout=30).raise_for_status()


def _submissions(url):
    return requests.get(f"{url}/_sim/submissions", timeout=30).json()


def _token_requests(url):
    return requests.get(f"{url}/_sim/tokens", timeout=30).json()["requests"]


def _post(client, run_id="r"):
    return client.post(run_id, BODY, idempotency_key="k")


def test_a_submission_arrives_with_the_headers_of_the_contract(simulator, client):
    receipt = _post(client)
    assert receipt.status == 200
    assert receipt.correlation_id
    (record,) = _submissions(simulator)
    headers = record["headers"]
    assert headers["Content-Type"] == headers["Accept"] == "application/json"
    assert headers["User-Agent"] == "Genesys-ToolWorker/0.1.0"
    assert headers["Idempotency-Key"] == "k"
    assert record["body"]["tool_calls"][0]["tool_call_id"] == "c"


@pytest.mark.parametrize(
    "run_id", ["a/b", "..", ".", "a?b#c", "%41", "a b", "日本", "a//b", "/a", "a/tool_calls"]
)
def test_a_run_id_stays_in_its_place_in_the_path(simulator, client, run_id):
    _post(client, run_id)
    assert [record["run_id"] for record in _submissions(simulator)] == [run_id]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_passes_is_unavailable_and_did_not_arrive(simulator, client, status):
    _faults(simulator, submit=[status])
    with pytest.raises(GenesysUnavailable) as failed:
        _post(client)
    assert (failed.value.status, failed.value.is_unknown) == (status, False)
    assert failed.value.correlation_id


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "GENESYS_SUBMIT_PATH"),
        (403, "OAuth scope mismatch"),
        (404, "has no such run"),
        (409, "does not wait"),
        (413, "too large"),
        (422, "tool_call_id"),
        (418, "418"),
    ],
)
def test_what_stays_is_rejected_with_advice_and_genesys_own_code(simulator, client, status, advice):
    _faults(simulator, submit=[{"status": status, "code": "its.code", "message": "Its words."}])
    with pytest.raises(Rejected) as failed:
        _post(client)
    assert advice in str(failed.value)
    assert "Its words." in str(failed.value)
    assert (failed.value.status, failed.value.code) == (status, "its.code")


def test_retry_after_is_part_of_the_error(simulator, client):
    _faults(simulator, submit=[{"status": 429, "retry_after": 42}])
    with pytest.raises(GenesysUnavailable) as failed:
        _post(client)
    assert failed.value.retry_after_s == 42


def test_a_refused_token_is_renewed_exactly_once(simulator, client):
    _post(client)
    _faults(simulator, submit=[401])
    assert _post(client).status == 200
    assert _token_requests(simulator) == 2
    _faults(simulator, submit=[401, 401, 401])
    with pytest.raises(Rejected, match="OAuth authentication failed"):
        _post(client)
    assert len(_submissions(simulator)) == 5
    assert _token_requests(simulator) == 3


def test_a_401_that_no_token_cures_costs_no_second_try(simulator, client):
    _faults(simulator, submit=[{"status": 401, "code": "ip.not.authorized"}])
    with pytest.raises(Rejected):
        _post(client)
    assert len(_submissions(simulator)) == 1


def test_a_passing_failure_of_the_token_endpoint_is_unavailable(simulator, client):
    _faults(simulator, token=[503, {"status": 429, "retry_after": 7}])
    with pytest.raises(GenesysUnavailable):
        _post(client)
    with pytest.raises(GenesysUnavailable) as failed:
        _post(client)
    assert failed.value.retry_after_s == 7
    assert _submissions(simulator) == []


def test_a_dropped_connection_is_of_unknown_outcome(simulator, client):
    _post(client)
    _faults(simulator, submit=["drop"])
    with pytest.raises(GenesysUnavailable) as failed:
        _post(client)
    assert failed.value.is_unknown


def test_a_post_ends_at_its_deadline_though_the_server_is_silent(simulator, client):
    _post(client)
    _faults(simulator, submit=["timeout"] * 5)

    def attempt():
        before = len(_submissions(simulator))
        with pytest.raises(GenesysUnavailable) as failed:
            client.post("r", BODY, idempotency_key="k", timeout_s=0.5)
        # where the time was over before it was sent, it did not arrive
        assert failed.value.is_unknown or len(_submissions(simulator)) == before

    in_time(attempt, under_s=1.5)


def test_a_body_over_the_limit_is_not_sent(simulator, client):
    with pytest.raises(Rejected, match="512000"):
        client.post("r", b"x" * 512_001, idempotency_key="k")
    assert _submissions(simulator) == []


def test_the_token_is_part_of_the_posts_time(simulator, client):
    _faults(simulator, token=["timeout"] * 5)

    def attempt():
        with pytest.raises(GenesysUnavailable):
            client.post("r", BODY, idempotency_key="k", timeout_s=0.5)

    in_time(attempt, under_s=1.5)
    assert _submissions(simulator) == []


def test_an_expired_token_is_renewed_without_a_failed_run(simulator, client):
    _post(client)
    requests.delete(f"{simulator}/_sim/state", timeout=30)  # it forgets the token, as if expired
    assert _post(client).status == 200
    assert [record["status"] for record in _submissions(simulator)] == [401, 200]


def test_no_error_or_repr_holds_a_token_or_secret(simulator, client):
    errors = []
    for fault in (400, 401, 401, 403, 422, 429, 503, "drop"):
        _faults(simulator, submit=[fault, fault])
        with pytest.raises(GenesysError) as failed:
            _post(client)
        errors += [failed.value, failed.value.__cause__, failed.value.args]
    shown = f"{errors!r} {client!r} {client.__dict__!r}"
    assert client._tokens.token() not in shown
    assert "demo-secret" not in shown


def test_a_200_that_comes_late_is_unknown_and_the_repeat_is_taken_as_the_same(simulator, client):
    _post(client, "other")
    _faults(simulator, submit=[{"status": 200, "delay_s": 20}])

    def attempt():
        with pytest.raises(GenesysUnavailable) as failed:
            client.post("r", BODY, idempotency_key="k", timeout_s=0.5)
        # or the time was over before it was sent; if it arrived, another attempt does not fail
        return True if failed.value.is_unknown else None

    until_unstalled(attempt)
    wait_for(lambda: len(_submissions(simulator)) == 2)
    assert _post(client).status == 200
    records = [record for record in _submissions(simulator) if record["run_id"] == "r"]
    assert [(r["status"], r["duplicate"]) for r in records] == [(200, False), (200, True)]
    assert records[0]["sha256"] == records[1]["sha256"]
