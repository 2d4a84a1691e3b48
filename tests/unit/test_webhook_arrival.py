"""A request is whole when its last byte has come, in whatever pieces it came."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.arrival import Arrival
from webhook.errors import TooMuch

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
PLAIN = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n"
EMPTY = HEAD + b"\r\n"


def _arrive(*pieces):
    arrival = Arrival()
    for piece in pieces:
        arrival.add(piece)
    return arrival


@pytest.mark.parametrize("request_bytes", [PLAIN, CHUNKED, EMPTY])
def test_it_is_whole_with_its_last_byte_and_not_before(request_bytes):
    arrival = Arrival()
    for at in range(len(request_bytes)):
        assert not arrival.is_whole
        arrival.add(request_bytes[at : at + 1])
    assert arrival.is_whole
    assert arrival.is_exact
    assert arrival.text() == request_bytes


@pytest.mark.parametrize("request_bytes", [PLAIN, CHUNKED, EMPTY])
def test_what_comes_behind_is_not_its_part(request_bytes):
    arrival = _arrive(request_bytes + b"GET / HTTP/1.1\r\n")
    assert arrival.is_whole
    assert not arrival.is_exact
    assert arrival.text() == request_bytes


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"\r\n", b"-1\r\n", b"5" + b"x" * 300, b" 5\r\nhello\r\n"]
)
def test_a_chunk_that_makes_no_sense_is_left_to_gunicorn(body):
    assert _arrive(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body).is_whole


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"x" * 32_769], 431),
        ([b"x" * 30_000, b"x" * 3_000], 431),
        ([HEAD + b"Content-Length: 1000001\r\n\r\n"], 413),
        ([HEAD + b"content-length:99999999\r\n\r\n"], 413),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"F4241\r\n"], 413),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 178_000], 413),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0\r\n" + b"x: y\r\n" * 178_000], 413),
    ],
)
def test_too_much_is_refused_while_it_arrives(pieces, status):
    with pytest.raises(TooMuch) as refused:
        _arrive(*pieces)
    assert refused.value.status == status


def test_exactly_a_megabyte_is_not_too_much():
    body = b" " * 1_000_000
    assert _arrive(HEAD + b"Content-Length: 1000000\r\n\r\n" + body).is_whole
    chunk = b"F4240\r\n" + body + b"\r\n0\r\n\r\n"
    assert _arrive(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk).is_whole


@pytest.mark.parametrize(
    ("pieces", "waits"),
    [
        ([HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"], True),
        ([HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n"], False),
        ([HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nh"], False),
        ([HEAD + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"], False),
        ([HEAD + b"Content-Length: 5\r\n\r\n"], False),
    ],
)
def test_who_waits_for_continue_is_known(pieces, waits):
    assert _arrive(*pieces).waits_for_continue is waits


@given(st.binary(max_size=400) | st.sampled_from([PLAIN, CHUNKED, EMPTY]), st.data())
@example(CHUNKED + PLAIN, None)
def test_how_the_bytes_are_cut_changes_nothing(request_bytes, data):
    whole = _arrive(request_bytes)
    cut = data.draw(st.integers(0, len(request_bytes))) if data else 90
    parts = _arrive(request_bytes[:cut], request_bytes[cut:])
    assert (parts.is_whole, len(parts)) == (whole.is_whole, len(whole))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_too_much(tail):
    for head in (b"", HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"):
        _arrive(head + tail)
