"""Rules of the simulated Genesys, without HTTP: what it accepts and refuses."""

import json

import pytest

from simulator import genesys as rules
from simulator.genesys import Genesys
from simulator.validation import BadOrder

DELIVERY = {
    "run_id": "r",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "t", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "t", "arguments": "{}"}},
    ],
}


@pytest.fixture
def genesys():
    """Has delivered the run `r` with the calls a and b."""
    genesys = Genesys("id", "secret")
    genesys.expect(DELIVERY)
    return genesys


@pytest.fixture
def token(genesys):
    return genesys.grant("id", "secret", "client_credentials").body["access_token"]


def _body(**outputs):
    entries = [{"tool_call_id": name, "output": output} for name, output in outputs.items()]
    return json.dumps({"tool_calls": entries}).encode()


GOOD = _body(a="{}", b="{}")


def test_a_token_request_is_answered_as_oauth_does(genesys):
    granted = genesys.grant("id", "secret", "client_credentials")
    assert granted.status == 200
    assert (granted.body["token_type"], granted.body["expires_in"]) == ("bearer", 3600)
    refused = genesys.grant("id", "wrong", "client_credentials")
    assert refused.status == 400
    assert refused.body == {
        "error": "invalid_client",
        "description": "authentication failed",
        "error_description": "authentication failed",
    }
    other = genesys.grant("id", "secret", "password")
    assert (other.status, other.body["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    "raw",
    [
        _body(a="{}"),
        _body(a="{}", b="{}", c="{}"),
        _body(a="{}", other="{}"),
        _body(a="{}", b={"not": "a string"}),
        _body(a="{}", b=7),
        GOOD.replace(b'"b"', b'"a"'),
        b'{"tool_calls": [{"tool_call_id": 7, "output": ""}]}',
        b'{"tool_calls": ["a", "b"]}',
        b'{"tool_calls": {}}',
        b'{"answers": []}',
        b"[]",
    ],
)
def test_a_run_that_was_delivered_takes_only_one_string_for_each_of_its_calls(genesys, token, raw):
    reply, _ = genesys.judge("r", token, "k", raw)
    assert (reply.status, reply.body["code"]) == (422, "payload.or.params.invalid")
    assert genesys.judge("r", token, "k", GOOD)[0].status == 200


def test_a_run_that_was_not_delivered_may_have_any_calls_but_no_other_form(genesys, token):
    assert genesys.judge("elsewhere", token, "k", _body(x="{}"))[0].status == 200
    assert genesys.judge("elsewhere", token, "k2", _body(x=7))[0].status == 422


def test_what_is_no_json_or_too_large_is_refused(genesys, token):
    assert genesys.judge("r", token, "k", b"{")[0].body["code"] == "bad.request"
    large = b" " * (512_001 - len(GOOD)) + GOOD
    assert genesys.judge("r", token, "k", large)[0].status == 413
    assert genesys.judge("r", token, "k", large[1:])[0].status == 200


def test_the_same_key_with_the_same_bytes_is_a_duplicate_and_with_others_a_conflict(genesys, token):
    first, is_duplicate = genesys.judge("r", token, "k", GOOD)
    assert not is_duplicate
    again, is_duplicate = genesys.judge("r", token, "k", GOOD)
    assert is_duplicate
    assert (first.status, first.body) == (again.status, again.body)
    assert genesys.judge("r", token, "k", GOOD + b" ")[0].status == 409
    other_key, is_duplicate = genesys.judge("r", token, "k.1", GOOD + b" ")
    assert (other_key.status, is_duplicate) == (200, False)


def test_a_token_is_one_that_was_given_and_has_not_ended(genesys, token, monkeypatch):
    assert genesys.judge("r", "", "k", GOOD)[0].body["code"] == "authentication.required"
    assert genesys.judge("r", "made-up", "k", GOOD)[0].body["code"] == "bad.credentials"
    genesys.limit({"token_lifetime_s": 0})
    ended = genesys.grant("id", "secret", "client_credentials").body["access_token"]
    refused = genesys.judge("r", ended, "k", GOOD)[0]
    assert (refused.status, refused.body["code"]) == (401, "credentials.expired")
    assert genesys.judge("r", token, "k", GOOD)[0].status == 200


def test_each_token_has_its_own_requests_per_minute(genesys, token, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(rules.time, "monotonic", lambda: now[0])
    token = genesys.grant("id", "secret", "client_credentials").body["access_token"]
    genesys.limit({"requests_per_minute": 2})
    assert genesys.judge("r", token, "k", GOOD)[0].status == 200
    now[0] = 1018.0
    assert genesys.judge("r", token, "k", GOOD)[0].status == 200
    refused = genesys.judge("r", token, "k", GOOD)[0]
    assert (refused.status, refused.retry_after_s) == (429, 42)
    assert refused.body["code"] == "too.many.requests.retry.after"
    assert "Retry the request in [42] seconds" in refused.body["message"]
    other = genesys.grant("id", "secret", "client_credentials").body["access_token"]
    assert genesys.judge("r", other, "k", GOOD)[0].status == 200
    now[0] = 1060.5
    assert genesys.judge("r", token, "k", GOOD)[0].status == 200


def test_faults_are_taken_in_order_and_then_all_is_normal(genesys):
    genesys.inject({"submit": [{"status": 429, "retry_after": None}]})  # the header is left out
    genesys.inject({"submit": [503, 200, "drop", {"status": 429, "retry_after": 2}]})
    found = [genesys.next_fault("submit") for _ in range(5)]
    late = {"status": 429, "retry_after": 2}
    assert found == [{"status": 503}, None, {"kind": "drop"}, late, None]
    assert genesys.next_fault("token") is None


@pytest.mark.parametrize(
    "faults",
    [
        [],
        {"other": []},
        {"submit": 503},
        {"submit": ["explode"]},
        {"submit": [True]},
        {"submit": [99]},
        {"submit": [{}]},
        {"submit": [{"status": 200, "delay_s": "long"}]},
        {"submit": [{"status": 429, "retry_after": -1}]},
        {"submit": [503], "token": [None]},
    ],
)
def test_a_fault_that_does_not_exist_changes_nothing(genesys, faults):
    with pytest.raises(BadOrder):
        genesys.inject(faults)
    assert genesys.next_fault("submit") is None


@pytest.mark.parametrize("limits", [[], {"submissions": 1}, {"requests_per_minute": "many"}])
def test_a_limit_that_does_not_exist_changes_nothing(genesys, limits):
    with pytest.raises(BadOrder):
        genesys.limit(limits)
    assert genesys.limit({}) == {"requests_per_minute": 0, "token_lifetime_s": 3600}


def test_only_the_newest_are_kept(genesys, token, monkeypatch):
    monkeypatch.setattr(rules, "KEPT", 3)
    for number in range(5):
        genesys.expect({"run_id": f"run-{number}", "tool_calls": []})
        assert genesys.judge(f"other-{number}", token, "k", GOOD)[0].status == 200
    assert list(genesys.state.runs) == ["run-2", "run-3", "run-4"]
    assert len(genesys.state.accepted) == 3


def test_an_attempt_is_recorded_without_its_token(genesys):
    genesys.record("r", GOOD, {"Authorization": "Bearer planted", "X": "y"}, 200, at=5.0)
    genesys.record("s", b"{", {}, None, at=6.0)
    (first,) = genesys.submissions("r")
    assert first["headers"] == {"Authorization": "…", "X": "y"}
    assert (first["status"], first["at"], first["duplicate"]) == (200, 5.0, False)
    assert [entry["status"] for entry in genesys.submissions(None)] == [200, None]
    genesys.forget()
    assert genesys.submissions(None) == []
