"""Slow and broken senders without a proxy: what the receiver's process withstands."""

import contextlib
import http.client
import json
import socket

import pytest

from tests.receiver import delivery, running_receiver, signed

POST = b"POST /webhook/tool-calls HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NOT_HTTP = {"error": "The request is not valid HTTP."}
TOO_LARGE = {"error": "The body is larger than 1000000 bytes."}


@pytest.fixture(scope="module")
def receiver(redis_server, tmp_path_factory):
    with running_receiver(tmp_path_factory.mktemp("senders"), redis_server.url) as receiver:
        yield receiver


def _request(run_id, *more):
    body = delivery(run_id)
    ((name, signature),) = signed(body).items()
    lines = ["POST /webhook/tool-calls HTTP/1.1", "Host: x", "Content-Type: application/json",
             f"Content-Length: {len(body)}", f"{name}: {signature}", *more, "", ""]  # fmt: skip
    return "\r\n".join(lines).encode() + body


def _answer(connection):
    """The one answer that comes next."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read()), response.headers


@pytest.mark.parametrize(
    "sent",
    [POST + b"Content-Length: 100\r\n\r\n{", CHUNKED, CHUNKED + b"5\r\n{"],
    ids=["half a body", "no chunk", "half a chunk"],
)
def test_a_body_that_stalls_is_408_and_its_connection_ends(receiver, sent):
    with receiver.connect() as connection:
        connection.sendall(sent)
        sentence = "The body did not arrive: nothing came for 10 s."
        assert _answer(connection)[:2] == (408, {"error": sentence})
        assert connection.recv(1) == b""
    assert "Traceback" not in receiver.log()


def test_a_head_that_stalls_ends_its_connection(receiver):
    with receiver.connect() as connection:
        connection.sendall(POST)
        assert connection.recv(1) == b""


def test_stalled_senders_hold_up_a_delivery_for_a_stall_for_each_32_of_them(receiver):
    with contextlib.ExitStack() as connections:
        for _ in range(40):  # one process may get them all: two stalls of 10 s
            connection = connections.enter_context(receiver.connect())
            connection.sendall(POST + b"Content-Length: 100\r\n\r\n{")
        with receiver.connect() as connection:
            connection.settimeout(30)
            connection.sendall(_request("beside-stalled"))
            assert _answer(connection)[0] == 202


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (CHUNKED + b"zz\r\n", NOT_HTTP),
        (CHUNKED + b"2\r\n{}xx\r\n", NOT_HTTP),
        (CHUNKED + b"0x5\r\n", NOT_HTTP),
        (CHUNKED + b"0\r\n" + b"x: y\r\n" * 5_000 + b"\r\n", NOT_HTTP),
    ],
)
def test_chunks_that_are_none_are_400_and_end_the_connection(receiver, sent, answer):
    behind = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with receiver.connect() as connection:
        connection.sendall(sent + behind)
        assert _answer(connection)[:2] == (400, answer)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""  # what comes behind is not taken for a request


@pytest.mark.parametrize("sent", [CHUNKED + b"5\r\n{", CHUNKED + b"2\r\n{}\r\n"])
def test_chunks_that_end_too_early_are_400(receiver, sent):
    with receiver.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        sentence = "The body did not arrive whole."
        assert _answer(connection)[:2] == (400, {"error": sentence})


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 1000002\r\n\r\n",
        POST + b"Content-Length: 999999999999999999\r\n\r\n",
        POST + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000,
        CHUNKED + b"F4241\r\n" + b" " * 1_000_001,
    ],
)
def test_a_body_over_a_megabyte_is_413(receiver, sent):
    with receiver.connect() as connection:
        with contextlib.suppress(ConnectionError):  # the answer may come before all was sent
            connection.sendall(sent)
        assert _answer(connection)[:2] == (413, TOO_LARGE)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /livez\r\n\r\n", 400),
        (b"GET /livez HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 9_000 + b"\r\n\r\n", 431),
        (POST + b"Content-Length: x\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: +2\r\n\r\n", 400),
        (POST + b"Content-Length: 2\nX: y\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\nxx\r\n", 400),
        (POST + b"Transfer-Encoding: br, chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Expect: the-moon\r\nContent-Length: 2\r\n\r\n{}", 417),
    ],
)
def test_gunicorn_refuses_what_is_not_http_and_reads_nothing_behind_it(receiver, sent, status):
    with receiver.connect() as connection:
        connection.sendall(sent + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        assert answer.status == status
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert receiver.post(delivery("still-there"))[0] == 202


def test_a_request_in_single_bytes_is_taken(receiver):
    with receiver.connect() as connection:
        for byte in _request("single-bytes"):
            connection.sendall(bytes([byte]))
        assert _answer(connection)[0] == 202


def test_a_connection_is_kept_for_the_next_delivery(receiver):
    with receiver.connect() as connection:
        for number in range(3):
            connection.sendall(_request(f"kept-{number}"))
            assert _answer(connection)[0] == 202


def test_a_refused_delivery_leaves_its_connection_usable(receiver):
    bad = _request("refused").replace(b"sha256=", b"sha256=x")
    with receiver.connect() as connection:
        connection.sendall(bad)
        assert _answer(connection)[0] == 401
        connection.sendall(_request("behind-refused"))
        assert _answer(connection)[0] == 202


def test_two_requests_sent_at_once_are_answered_one_after_the_other(receiver):
    with receiver.connect() as connection:
        connection.sendall(_request("first-of-two") + _request("second-of-two"))
        answers = b""
        while answers.count(b"run_id") < 2:
            more = connection.recv(4096)
            assert more, answers
            answers += more
    assert answers.count(b"HTTP/1.1 202 ") == 2
    assert answers.index(b"first-of-two") < answers.index(b"second-of-two")


def test_a_sender_that_waits_for_100_continue_gets_it(receiver):
    request = _request("waits", "Expect: 100-continue")
    head, body = request.split(b"\r\n\r\n", 1)
    with receiver.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 202 ")  # and no second "100 Continue"


def test_no_header_moves_an_address(receiver):
    answer = receiver.ask("GET", "/moved/livez", headers={"SCRIPT_NAME": "/moved"})
    assert answer[:2] == (404, {"error": "There is nothing at this address."})
    assert receiver.ask("GET", "/livez", headers={"SCRIPT_NAME": "/moved"})[0] == 200


def test_no_answer_names_a_version(receiver):
    for path in ("/livez", "/nowhere"):
        headers = receiver.ask("GET", path)[2]
        assert headers["Server"] == "gunicorn"
        assert "X-Powered-By" not in headers
