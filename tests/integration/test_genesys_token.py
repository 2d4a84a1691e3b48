"""One process' token against a simulated Genesys: shared, renewed in time, never shown."""

import threading
import time

import pytest
import requests
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from genesys.auth.token_request import TokenRequest
from genesys.auth.tokens import TokenSource
from genesys.errors import GenesysUnavailable, Rejected
from tests.timing import in_time


def _faults(url, *entries):
    requests.put(f"{url}/_sim/faults", json={"token": entries}, timeout=30).raise_for_status()


def _token_requests(url):
    return requests.get(f"{url}/_sim/tokens", timeout=30).json()["requests"]


def _source(url, now=time.monotonic):
    request = TokenRequest(url, "demo-client", "demo-secret", "ai:assistant:run:write")
    return TokenSource(request, now=now)


def test_one_token_serves_many_posts_until_it_is_nearly_over(simulator):
    now = [1000.0]
    tokens = _source(simulator, now=lambda: now[0])
    first = tokens.token()
    now[0] += 3600 - 301
    assert tokens.token() == first
    now[0] += 2
    assert tokens.token() != first


def test_a_short_token_is_not_renewed_for_ever(simulator):
    requests.put(f"{simulator}/_sim/limits", json={"token_lifetime_s": 300}, timeout=30)
    now = [0.0]
    tokens = _source(simulator, now=lambda: now[0])
    first = tokens.token()
    now[0] = 239.0
    assert tokens.token() == first
    now[0] = 241.0
    assert tokens.token() != first


def test_a_tokens_length_is_logged_and_never_the_token(simulator):
    with capture_logs() as lines:
        token = _source(simulator).token()
    (line,) = [line for line in lines if line["event"] == "genesys.token"]
    assert line["length"] == len(token)
    assert token not in str(lines)


def test_fifty_threads_request_one_token(simulator):
    tokens = _source(simulator)
    threads = [threading.Thread(target=tokens.token) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _token_requests(simulator) == 1


def test_wrong_credentials_name_the_likely_cause_and_no_secret(simulator):
    tokens = TokenSource(TokenRequest(simulator, "demo-client", "planted-secret", "s"))
    with pytest.raises(Rejected) as failed:
        tokens.token()
    text = f"{failed.value} {failed.value!r} {failed.value.__cause__}"
    assert "OAuth authentication failed. Verify client_id and client_secret." in text
    assert "GENESYS_REGION" in text
    assert "planted" not in text


def test_only_the_token_that_was_refused_is_forgotten(simulator):
    tokens = _source(simulator)
    first = tokens.token()
    tokens.invalidate("another")
    assert tokens.token() == first
    tokens.invalidate(first)
    second = tokens.token()
    tokens.invalidate(first)
    assert tokens.token() == second != first
    assert _token_requests(simulator) == 2


def test_a_token_that_is_still_good_outlives_an_outage_of_the_token_endpoint(simulator):
    now = [0.0]
    tokens = _source(simulator, now=lambda: now[0])
    first = tokens.token()
    _faults(simulator, 503, 503, 503)
    now[0] = 3400.0
    assert [tokens.token(), tokens.token()] == [first, first]
    assert _token_requests(simulator) == 2, "asked again after 30 s, not at every call"
    now[0] = 3431.0
    assert tokens.token() == first
    assert _token_requests(simulator) == 3
    now[0] = 3601.0
    with pytest.raises(GenesysUnavailable):
        tokens.token()


def test_while_one_thread_renews_the_others_go_on_with_the_old_token(simulator):
    now = [0.0]
    tokens = _source(simulator, now=lambda: now[0])
    first = tokens.token()
    _faults(simulator, "timeout")
    now[0] = 3400.0
    renewing = threading.Thread(target=tokens.token)
    renewing.start()
    _wait_for_token_requests(simulator, 2)
    assert in_time(tokens.token, under_s=1) == first
    requests.delete(f"{simulator}/_sim/state", timeout=30)
    renewing.join(timeout=60)
    assert not renewing.is_alive()


def test_waiting_for_another_threads_token_ends_in_time(simulator):
    tokens, found = _source(simulator), []
    _faults(simulator, "timeout")
    asking = threading.Thread(target=_is_unavailable, args=(tokens, found))
    asking.start()
    _wait_for_token_requests(simulator, 1)

    def attempt():
        with pytest.raises(GenesysUnavailable, match="in time"):
            tokens.token(timeout_s=0.3)

    in_time(attempt, under_s=2)
    requests.delete(f"{simulator}/_sim/state", timeout=30)
    asking.join(timeout=60)
    assert found == [True]


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (400, "invalid_client", "Verify client_id and client_secret."),
        (401, "invalid_client", "Verify client_id and client_secret."),
        (400, "invalid_scope", "Ensure the application has ai:assistant:run:write."),
        (403, "not.authorized", "Ensure the application has ai:assistant:run:write."),
        (400, "unauthorized_client", "grant must be Client Credentials"),
        (404, "not.found", "Verify GENESYS_LOGIN_URL"),
        (302, "moved", "Verify GENESYS_LOGIN_URL"),
    ],
)
def test_a_refusal_names_what_to_fix(simulator, status, code, sentence):
    _faults(simulator, {"status": status, "code": code})
    with pytest.raises(Rejected) as failed:
        _source(simulator).token()
    assert sentence in str(failed.value)
    assert (failed.value.status, failed.value.code) == (status, code)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_at_the_token_endpoint_is_unavailable(simulator, status):
    _faults(simulator, {"status": status, "retry_after": 7})
    with pytest.raises(GenesysUnavailable) as failed:
        _source(simulator).token()
    assert (failed.value.status, failed.value.retry_after_s) == (status, 7)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[]",
        b'{"expires_in": 3600}',
        b'{"access_token": "", "expires_in": 3600}',
        b'{"access_token": "a\\nb", "expires_in": 3600}',
        b'{"access_token": 7, "expires_in": 3600}',
        b'{"access_token": "planted"}',
        b'{"access_token": "planted", "expires_in": "3600"}',
        b'{"access_token": "planted", "expires_in": true}',
        b'{"access_token": "planted", "expires_in": -1}',
        b'{"access_token": "planted", "expires_in": NaN}',
        b'{"access_token": "planted", "expires_in": Infinity}',
        b'{"access_token": "planted", "expires_in": 1' + b"0" * 400 + b"}",
    ],
)
def test_an_odd_grant_is_unavailable_and_its_token_not_shown(body):
    def answer(_environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(GenesysUnavailable, match="answered 200") as failed:
            _source(f"http://127.0.0.1:{server.port}").token()
    finally:
        server.shutdown()
        thread.join()
    assert "planted" not in f"{failed.value!r} {failed.value.__cause__!r}"


def _wait_for_token_requests(url, count):
    deadline = time.monotonic() + 60
    while _token_requests(url) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_unavailable(tokens, found):
    try:
        tokens.token()
    except GenesysUnavailable:
        found.append(True)
