"""One HTTP request to odd servers: deadlines, errors by cause, and the exact bytes sent."""

import socket
import threading
import time
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from genesys.client import Client
from genesys.errors import GenesysError, GenesysUnavailable, Rejected
from genesys.http import HttpClient
from genesys.pacing.rate_limiter import RateLimiter
from genesys.store import Store
from tests.cases import cases
from tests.timing import in_time

BODY = b'{"tool_calls":[{"tool_call_id":"c","output":"{}"}]}'
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class OneToken:
    """Always the same token."""

    def token(self, timeout_s=5.0):
        return "planted-token"

    def invalidate(self, token):
        """Another would not differ."""


@pytest.fixture
def odd_server():
    """Answers each connection with these bytes, piece by piece, and keeps what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop, received = threading.Event(), []

    def serve(pieces, pause_s=0.0):
        def run():
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    received.append(_receive(connection))
                    try:
                        for piece in pieces:
                            connection.sendall(piece)
                            stop.wait(pause_s)
                    except OSError:
                        continue

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", received

    yield serve
    stop.set()
    listener.close()


def test_a_refused_connection_surely_did_not_arrive(free_port):
    with pytest.raises(GenesysUnavailable) as failed:
        HttpClient().post(f"http://127.0.0.1:{free_port()}/", BODY, {}, 20.0)
    assert not failed.value.is_unknown


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_a_post_ends_at_its_deadline_though_the_server_drips(odd_server, head):
    url, _ = odd_server([head, *([b"x"] * 200)], pause_s=0.1)

    def attempt():
        with pytest.raises(GenesysUnavailable) as failed:
            HttpClient().post(url, BODY, {}, 1.0)
        return failed.value

    assert in_time(attempt, under_s=2.5).is_unknown


def test_what_a_slow_name_server_holds_back_past_the_deadline_is_not_sent(odd_server, monkeypatch):
    url, received = odd_server([OK])
    lookup = socket.getaddrinfo

    def slow(*arguments, **options):
        time.sleep(0.8)
        return lookup(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(GenesysUnavailable, match="ConnectTimeout") as failed:
        HttpClient().post(url, BODY, {}, 0.3)
    assert not failed.value.is_unknown
    deadline = time.monotonic() + 60
    while not received:  # the connection was made, and closed
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert received == [b""]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 13\r\n\r\n<html></html>", 502),
        (b"HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\n[]", 503),
        (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", 500),
        (b'HTTP/1.1 500 X\r\nContent-Length: 22\r\n\r\n{"code": 7, "message":1', 500),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 500 X\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000, 500),
        (b"HTTP/1.1 302 F\r\nLocation: /\xff\xfe\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 302 F\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{}", 200),
        (b"HTTP/1.1 403 X\r\nContent-Length: 100\r\n\r\n{}", 403),
        (b"HTTP/1.1 403 X\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 403),
        (b"HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", 403),
    ],
)
def test_odd_answers_are_read_tolerantly_and_redirects_not_followed(odd_server, answer, status):
    found = HttpClient().post(odd_server([answer])[0], BODY, {}, 20.0)
    assert found.status == status
    assert found.message == ""


def test_bytes_that_are_no_http_are_unavailable(odd_server):
    with pytest.raises(GenesysUnavailable):
        HttpClient().post(odd_server([b"\x00\xff nonsense\r\n\r\n"])[0], BODY, {}, 20.0)


@pytest.mark.parametrize(
    ("run_id", "segment"),
    [
        ("a/b?c#d%41", "a%2Fb%3Fc%23d%2541"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("../../oauth", "..%2F..%2Foauth"),
        ("...", "..."),
        ("a b+c", "a%20b%2Bc"),
        ("é", "%C3%A9"),
        ("\r\nHost: evil", "%0D%0AHost%3A%20evil"),
    ],
)
def test_a_run_id_goes_over_the_wire_as_one_encoded_segment(odd_server, run_id, segment):
    url, received = odd_server([OK])
    client = Client(url + "/api/{run_id}/tool_calls", OneToken(), list_key="tool_calls")
    assert client.post(run_id, BODY, idempotency_key="k").status == 204
    line = received[0].split(b"\r\n")[0]
    assert line == f"POST /api/{segment}/tool_calls HTTP/1.1".encode()


@pytest.mark.parametrize("run_id", ["", "\ud800"])
def test_a_run_id_that_no_path_can_name_is_refused_before_sending(odd_server, run_id):
    url, received = odd_server([OK])
    client = Client(url + "/{run_id}", OneToken(), list_key="tool_calls")
    with pytest.raises(Rejected, match="run id"):
        client.post(run_id, BODY, idempotency_key="k")
    assert received == []


def test_the_headers_are_those_of_the_contract_and_no_netrc_or_proxy_changes_them(
    odd_server, monkeypatch, tmp_path
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    url, received = odd_server([OK])
    client = Client(url + "/{run_id}", OneToken(), list_key="tool_calls")
    client.post("r", BODY, idempotency_key="k.1")
    head, _, body = received[0].partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"Authorization"] == b"Bearer planted-token"
    assert headers[b"Content-Type"] == headers[b"Accept"] == b"application/json"
    assert headers[b"User-Agent"] == b"Genesys-ToolWorker/0.1.0"
    assert headers[b"Idempotency-Key"] == b"k.1"
    assert headers[b"Content-Length"] == b"51"
    assert body == BODY


def test_a_header_that_cannot_be_sent_is_rejected_and_not_repeated_in_the_error(odd_server):
    url, _ = odd_server([OK])
    with pytest.raises(Rejected) as failed:
        HttpClient().post(url, BODY, {"Idempotency-Key": "planted\r\nX: y"}, 20.0)
    assert "planted" not in f"{failed.value!r} {failed.value.__cause__!r}"


def test_a_failed_tls_handshake_surely_did_not_arrive(odd_server):
    url, _ = odd_server([b"no TLS here\r\n"])
    with pytest.raises(GenesysUnavailable) as failed:
        HttpClient().post(url.replace("http:", "https:"), BODY, {}, 20.0)
    assert not failed.value.is_unknown


def test_a_connection_lost_after_sending_is_of_unknown_outcome(odd_server):
    url, _ = odd_server([b""])
    with pytest.raises(GenesysUnavailable) as failed:
        HttpClient().post(url, BODY, {}, 20.0)
    assert failed.value.is_unknown


def test_a_redirect_is_rejected_and_not_followed(odd_server):
    url, received = odd_server(
        [b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"]
    )
    client = Client(url + "/{run_id}", OneToken(), list_key="tool_calls")
    with pytest.raises(Rejected, match="redirect"):
        client.post("r", BODY, idempotency_key="k")
    assert len(received) == 1


@pytest.fixture
def any_answer():
    """A server whose answer is set before each request."""
    listener = socket.create_server(("127.0.0.1", 0))
    answer = [b""]

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                _receive(connection)
                try:
                    connection.sendall(answer[0])
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/{{run_id}}", answer
    listener.close()


@settings(
    max_examples=cases(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.binary(max_size=60)
    | st.builds(
        b"HTTP/1.1 %d X\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s".__mod__,
        st.tuples(
            st.integers(100, 999),
            st.sampled_from(
                [
                    b"Retry-After",
                    b"Location",
                    b"Set-Cookie",
                    b"Transfer-Encoding",
                    b"Content-Encoding",
                ]
            ),
            st.binary(max_size=20) | st.sampled_from([b"chunked", b"gzip", b"deflate"]),
            st.integers(0, 40),
            st.binary(max_size=40),
        ),
    )
)
def test_no_outside_bytes_raise_anything_but_the_documented_errors(any_answer, raw):
    url, answer = any_answer
    answer[0] = raw
    client = Client(url, OneToken(), list_key="tool_calls")
    try:
        receipt = client.post("r", BODY, idempotency_key="k", timeout_s=20.0)
    except GenesysError as error:
        shown = f"{error!r} {error.__cause__!r}"
    else:
        shown = repr(receipt)
        assert 200 <= receipt.status < 300
    assert "planted" not in shown


def _receive(connection):
    """The whole request, so that closing the connection does not reset it; or what is no HTTP."""
    raw = piece = connection.recv(65536)
    while piece and raw.startswith(b"POST ") and not raw.endswith(BODY):
        raw += (piece := connection.recv(65536))
    return raw


def test_what_is_left_of_genesys_rate_limit_is_logged_and_in_receipt_and_status(
    odd_server, redis_server
):
    url, _ = odd_server([b"HTTP/1.1 204 No Content\r\nX-RateLimit-Remaining: 299\r\n\r\n"])
    limiter = RateLimiter(Store(redis_server.url, [uuid.uuid4().hex]), requests_per_minute=300)
    client = Client(url + "/{run_id}", OneToken(), list_key="tool_calls", rate_limiter=limiter)
    assert client.status().remaining is None
    with capture_logs() as lines:
        receipt = client.post("r", BODY, idempotency_key="k")
    assert receipt.rate_limit_remaining == client.status().remaining == 299
    assert [(line["event"], line["remaining"]) for line in lines] == [("genesys.rate_limit", 299)]
