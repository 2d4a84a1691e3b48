"""The client against a simulated Genesys over HTTP, and against servers that behave oddly."""

import socket
import threading
import time

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.serving import make_server

from genesys import client as client_module
from genesys import http
from genesys.auth import TokenSource
from genesys.client import Client, from_settings
from genesys.errors import Rejected, Unavailable
from genesys.regions import endpoints
from runtime.settings import Settings, SettingsError
from simulator.app import create_app

BODY = b'{"tool_calls":[{"tool_call_id":"c","output":"{}"}]}'
PATH = "/api/v2/ai/assistants/runs/{run_id}/tool_calls"


@pytest.fixture(scope="module")
def simulator_url():
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


@pytest.fixture
def simulator(simulator_url):
    """A Genesys that knows of nothing yet; afterwards, what hangs lets go."""
    yield simulator_url
    requests.delete(f"{simulator_url}/_sim/state", timeout=5)


@pytest.fixture
def client(simulator):
    tokens = TokenSource(simulator, "demo-client", "demo-secret", "ai:assistant:run:write")
    return Client(simulator + PATH, tokens, list_key="tool_calls")


@pytest.fixture
def odd_server():
    """Answers each connection with the bytes that a function gives, piece by piece."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve(pieces, pause_s=0.0):
        def run():
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    try:
                        for piece in pieces:
                            connection.sendall(piece)
                            stop.wait(pause_s)
                    except OSError:
                        continue

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    stop.set()
    listener.close()


def _faults(url, **faults):
    requests.put(f"{url}/_sim/faults", json=faults, timeout=5).raise_for_status()


def _submissions(url):
    return requests.get(f"{url}/_sim/submissions", timeout=5).json()


def _token_requests(url):
    return requests.get(f"{url}/_sim/tokens", timeout=5).json()["requests"]


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


@pytest.mark.parametrize("run_id", ["a/b", "..", ".", "a?b#c", "%41", "a b", "日本", "a//b"])
def test_a_run_id_stays_in_its_place_in_the_path(simulator, client, run_id):
    _post(client, run_id)
    assert [record["run_id"] for record in _submissions(simulator)] == [run_id]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_unavailable_and_did_not_arrive(simulator, client, status):
    _faults(simulator, submit=[status])
    with pytest.raises(Unavailable) as failed:
        _post(client)
    assert (failed.value.status, failed.value.is_unknown) == (status, False)
    assert failed.value.correlation_id


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "GENESYS_SUBMIT_PATH"),
        (403, "OAuth scope mismatch"),
        (404, "knows no such run"),
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


def test_retry_after_is_told(simulator, client):
    _faults(simulator, submit=[{"status": 429, "retry_after": 42}])
    with pytest.raises(Unavailable) as failed:
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


def test_one_token_serves_many_posts_until_it_is_nearly_over(simulator):
    now = [1000.0]
    tokens = TokenSource(simulator, "demo-client", "demo-secret", "s", now=lambda: now[0])
    first = tokens.token()
    now[0] += 3600 - 301
    assert tokens.token() == first
    now[0] += 2
    assert tokens.token() != first


def test_a_short_token_is_not_renewed_for_ever(simulator):
    requests.put(f"{simulator}/_sim/limits", json={"token_lifetime_s": 300}, timeout=5)
    now = [0.0]
    tokens = TokenSource(simulator, "demo-client", "demo-secret", "s", now=lambda: now[0])
    first = tokens.token()
    now[0] = 239.0
    assert tokens.token() == first
    now[0] = 241.0
    assert tokens.token() != first


def test_fifty_threads_ask_for_one_token(simulator):
    tokens = TokenSource(simulator, "demo-client", "demo-secret", "s")
    threads = [threading.Thread(target=tokens.token) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _token_requests(simulator) == 1


def test_wrong_credentials_name_the_likely_cause_and_no_secret(simulator):
    tokens = TokenSource(simulator, "demo-client", "planted-secret", "s")
    with pytest.raises(Rejected) as failed:
        tokens.token()
    text = f"{failed.value} {failed.value!r} {failed.value.__cause__}"
    assert "OAuth authentication failed. Verify client_id and client_secret." in text
    assert "GENESYS_REGION" in text
    assert "planted" not in text


def test_a_passing_failure_of_the_token_endpoint_is_unavailable(simulator, client):
    _faults(simulator, token=[503, {"status": 429, "retry_after": 7}])
    with pytest.raises(Unavailable):
        _post(client)
    with pytest.raises(Unavailable) as failed:
        _post(client)
    assert failed.value.retry_after_s == 7
    assert _submissions(simulator) == []


def test_a_dropped_connection_is_of_unknown_outcome(simulator, client):
    _post(client)
    _faults(simulator, submit=["drop"])
    with pytest.raises(Unavailable) as failed:
        _post(client)
    assert failed.value.is_unknown


def test_a_refused_connection_surely_did_not_arrive(free_port):
    with pytest.raises(Unavailable) as failed:
        http.post(f"http://127.0.0.1:{free_port()}/", BODY, {}, 1.0)
    assert not failed.value.is_unknown


def test_a_post_ends_at_its_deadline_though_the_server_says_nothing(simulator, client, monkeypatch):
    monkeypatch.setattr(client_module, "POST_TIMEOUT_S", 0.5)
    _post(client)
    _faults(simulator, submit=["timeout"])
    began = time.monotonic()
    with pytest.raises(Unavailable) as failed:
        _post(client)
    assert failed.value.is_unknown
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_a_post_ends_at_its_deadline_though_the_server_drips(odd_server, head):
    url = odd_server([head, *([b"x"] * 200)], pause_s=0.1)
    began = time.monotonic()
    with pytest.raises(Unavailable) as failed:
        http.post(url, BODY, {}, 1.0)
    assert failed.value.is_unknown
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 13\r\n\r\n<html></html>", 502),
        (b"HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\n[]", 503),
        (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", 500),
        (b'HTTP/1.1 500 X\r\nContent-Length: 22\r\n\r\n{"code": 7, "message":1', 500),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 500 X\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000, 500),
    ],
)
def test_odd_answers_are_read_tolerantly_and_redirects_not_followed(odd_server, answer, status):
    found = http.post(odd_server([answer]), BODY, {}, 2.0)
    assert found.status == status
    assert found.message == ""


def test_bytes_that_are_no_http_are_unavailable(odd_server):
    with pytest.raises(Unavailable):
        http.post(odd_server([b"\x00\xff nonsense\r\n\r\n"]), BODY, {}, 2.0)


def test_a_body_over_the_limit_is_not_sent(simulator, client):
    with pytest.raises(Rejected, match="512000"):
        client.post("r", b"x" * 512_001, idempotency_key="k")
    assert _submissions(simulator) == []


def test_encoding_is_byte_stable_and_survives_any_text(client):
    outputs = [{"tool_call_id": "c", "output": '{"a": "é\ud800"}'}]
    body = client.encode(outputs)
    assert (
        body == b'{"tool_calls":[{"tool_call_id":"c","output":"{\\"a\\": \\"\\u00e9\\ud800\\"}"}]}'
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("42", 42), ("0", 0), ("-1", None), ("soon", None), ("1e3", None), ("9" * 20, None)],
)  # fmt: skip
def test_retry_after_in_seconds(header, seconds):
    assert http.Answer(503, {"Retry-After": header}, {}).retry_after_s == seconds


def test_retry_after_as_a_date_is_the_time_until_then():
    assert http.Answer(503, {"Retry-After": "Fri, 01 Jan 1999 00:00:00 GMT"}, {}).retry_after_s == 0
    far = http.Answer(503, {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, {}).retry_after_s
    assert far > 10**9


def test_a_429_without_the_header_is_read_from_its_sentence():
    said = "Rate limit exceeded the maximum. Retry the request in [42] seconds"
    assert http.Answer(429, {}, {"message": said}).retry_after_s == 42


@given(
    st.text(),
    st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())),
)
def test_no_header_or_body_breaks_the_reading_of_an_answer(header, body):
    answer = http.Answer(429, {"Retry-After": header, "ININ-Correlation-Id": header}, body)
    assert answer.retry_after_s is None or answer.retry_after_s >= 0
    assert isinstance(answer.message, str)
    assert answer.code is None or isinstance(answer.code, str)


def test_a_region_has_its_two_hosts_and_an_unknown_one_names_the_closest():
    found = endpoints("mypurecloud.de", None, None)
    assert (found.api, found.login) == (
        "https://api.mypurecloud.de",
        "https://login.mypurecloud.de",
    )
    with pytest.raises(ValueError, match=r"did you mean mypurecloud.ie"):
        endpoints("mypurecloud.ei", None, None)


def test_http_is_taken_for_loopback_alone():
    assert endpoints(None, "http://127.0.0.1:1", "http://localhost:2").api == "http://127.0.0.1:1"
    with pytest.raises(ValueError, match="https"):
        endpoints(None, "http://example.com", "https://example.com")
    with pytest.raises(ValueError, match="https"):
        endpoints(None, "http://127.0.0.1.example.com", "https://example.com")


def test_all_mistakes_of_the_settings_come_at_once():
    settings = Settings(
        genesys_region="mars", genesys_submit_path="runs", genesys_list_key="tool calls"
    )
    with pytest.raises(SettingsError) as failed:
        from_settings(settings)
    names = [line.partition(":")[0] for line in str(failed.value).splitlines()]
    assert names == [
        "GENESYS_REGION",
        "GENESYS_CLIENT_ID",
        "GENESYS_CLIENT_SECRET",
        "GENESYS_SUBMIT_PATH",
        "GENESYS_LIST_KEY",
    ]
