"""Senders that are slow, rude or broken hold up nobody, and hear in a sentence what is wrong."""

import http.client
import json
import socket
import time

import pytest

from tests.receiver import delivery, running_receiver, signed

POST = b"POST /webhook/tool-calls HTTP/1.1\r\nHost: x\r\n"


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


def _took_s(receiver, run_id):
    began = time.monotonic()
    assert receiver.post(delivery(run_id))[0] == 202
    return time.monotonic() - began


@pytest.mark.parametrize(
    "sent",
    [b"", b"P", POST, POST + b"Content-Length: 100\r\n\r\n{",
     POST + b"Transfer-Encoding: chunked\r\n\r\n5"],
    ids=["nothing", "a letter", "half a head", "half a body", "half a chunk"],
)  # fmt: skip
def test_a_hundred_slow_senders_do_not_hold_up_another(receiver, sent):
    slow = [receiver.connect() for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(sent)
        assert max(_took_s(receiver, f"beside-slow-{i}") for i in range(10)) < 1
    finally:
        for connection in slow:
            connection.close()


def test_senders_that_leave_their_side_open_do_not_hold_up_another(receiver):
    rude = [receiver.connect() for _ in range(20)]
    try:
        for number, connection in enumerate(rude):
            connection.sendall(_request(f"rude-{number}", "Connection: close"))
        for connection in rude:
            assert _answer(connection)[0] == 202
        assert max(_took_s(receiver, f"beside-rude-{i}") for i in range(5)) < 1
    finally:
        for connection in rude:
            connection.close()


def test_a_request_that_trickles_in_is_ended_after_ten_seconds(receiver):
    with receiver.connect() as connection:
        began = time.monotonic()
        connection.settimeout(0.25)
        connection.sendall(POST)
        answer = b""
        while not answer and time.monotonic() - began < 15:
            connection.sendall(b"X-A: b\r\n")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
        assert 9.5 < time.monotonic() - began < 12.5
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.endswith(b'{"error": "The request did not come whole within 10 s."}')


def test_a_request_in_single_bytes_is_taken(receiver):
    with receiver.connect() as connection:
        for byte in _request("single-bytes"):
            connection.sendall(bytes([byte]))
        assert _answer(connection)[0] == 202


def test_a_connection_is_kept_for_the_next_delivery(receiver):
    with receiver.connect() as connection:
        for number in range(3):
            connection.sendall(_request(f"kept-{number}"))
            assert _answer(connection)[:2][0] == 202


def test_what_comes_behind_a_request_is_not_taken_for_its_part(receiver):
    with receiver.connect() as connection:
        connection.sendall(_request("first-of-two") + _request("second-of-two"))
        status, body, headers = _answer(connection)
        assert (status, body["run_id"]) == (202, "first-of-two")
        assert headers["Connection"] == "close"
        assert connection.recv(1) == b""  # closed: the sender sends the second one anew


def test_a_length_with_many_zeros_ends_the_request_where_gunicorn_ends_it(receiver):
    request = _request("zeros").replace(b"Content-Length: ", b"Content-Length: " + b"0" * 20)
    head, body = request.split(b"\r\n\r\n", 1)
    with receiver.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        connection.sendall(body)
        assert _answer(connection)[0] == 202
        connection.sendall(_request("behind-zeros"))
        status, answer, _ = _answer(connection)
        assert (status, answer["run_id"]) == (202, "behind-zeros")


@pytest.mark.parametrize(
    "sent",
    [b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n", b"Content-Length: +2\r\n\r\n",
     b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
     b"Content-Length: 2\nX: y\r\n\r\n", b"Transfer-Encoding: identity\r\n\r\n",
     b"Transfer-Encoding: chunked\r\n\r\n5;a=" + b"b" * 300 + b"\r\n",
     b"Transfer-Encoding: chunked\r\n\r\n0x5\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("is_cut", [False, True])
def test_what_comes_behind_an_unclear_end_is_not_answered(receiver, sent, is_cut):
    behind = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with receiver.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (POST + sent, behind) if is_cut else (POST + sent + behind,):
            connection.sendall(piece)
        assert _answer(connection)[:2] == (400, {"error": "The request is not valid HTTP."})
        assert connection.recv(1) == b""


def test_a_sender_that_waits_for_100_continue_gets_it(receiver):
    request = _request("waits", "Expect: 100-continue")
    head, body = request.split(b"\r\n\r\n", 1)
    with receiver.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 202 ")  # and no second "100 Continue"


def test_a_sender_that_does_not_wait_for_100_continue_does_not_get_it(receiver):
    with receiver.connect() as connection:
        connection.sendall(_request("does-not-wait", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "The request is not valid HTTP."),
        (b"GET /livez\r\n\r\n", 400, "The request is not valid HTTP."),
        (b"GET /livez HTTP/9.9\r\n\r\n", 400, "The request is not valid HTTP."),
        (b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n\r\n", 414, "The address is too long."),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60 + b"\r\n", 431,
         "The headers are too many or too large."),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000, 431,
         "The headers are larger than 32768 bytes."),
        (POST + b"Content-Length: x\r\n\r\n", 400, "The request is not valid HTTP."),
        (POST + b"Content-Length: -1\r\n\r\n", 400, "The request is not valid HTTP."),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400,
         "The request is not valid HTTP."),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
         "The request is not valid HTTP."),
        (POST + b"Transfer-Encoding: gzip\r\n\r\nxx\r\n", 400, "The request is not valid HTTP."),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "The request is not valid HTTP."),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n", 400,
         "The request is not valid HTTP."),
        (POST + b"Content-Length: 1000001\r\n\r\n", 413, "The body is larger than 1000000 bytes."),
        (POST + b"Content-Length: 999999999999999999\r\n\r\n", 413,
         "The body is larger than 1000000 bytes."),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nF4241\r\n", 413,
         "The body is larger than 1000000 bytes."),
        (POST + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000, 413,
         "The body is larger than 1000000 bytes."),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 200_000, 413,
         "The body comes in too many chunks."),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 6_000, 431,
         "The trailers are larger than 32768 bytes."),
    ],
)  # fmt: skip
def test_what_is_not_http_or_too_much_is_refused_as_json(receiver, sent, status, sentence):
    with receiver.connect() as connection:
        connection.sendall(sent)
        found = _answer(connection)
    assert found[:2] == (status, {"error": sentence})
    assert found[2]["Content-Type"] == "application/json"
    assert receiver.post(delivery("still-there"))[0] == 202


def test_no_header_moves_an_address(receiver):
    answer = receiver.ask("GET", "/moved/livez", headers={"SCRIPT_NAME": "/moved"})
    assert answer[:2] == (404, {"error": "There is nothing at this address."})
    assert receiver.ask("GET", "/livez", headers={"SCRIPT_NAME": "/moved"})[0] == 200


def test_no_answer_names_a_version(receiver):
    for path in ("/livez", "/nowhere"):
        headers = receiver.ask("GET", path)[2]
        assert headers["Server"] == "gunicorn"
        assert "X-Powered-By" not in headers
