"""A request is whole when its last byte has come, in whatever pieces it came."""

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.http.errors import NoMoreData, ParseException
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


def _text(arrival):
    return b"".join(arrival.pieces())


@pytest.mark.parametrize("request_bytes", [PLAIN, CHUNKED, EMPTY])
def test_it_is_whole_with_its_last_byte_and_not_before(request_bytes):
    arrival = Arrival()
    for at in range(len(request_bytes)):
        assert not arrival.is_whole
        arrival.add(request_bytes[at : at + 1])
    assert arrival.is_whole
    assert arrival.is_exact
    assert _text(arrival) == request_bytes


@pytest.mark.parametrize("request_bytes", [PLAIN, CHUNKED, EMPTY])
def test_what_comes_behind_is_not_its_part(request_bytes):
    arrival = _arrive(request_bytes + b"GET / HTTP/1.1\r\n")
    assert arrival.is_whole
    assert not arrival.is_exact
    assert _text(arrival) == request_bytes


@pytest.mark.parametrize(
    "line",
    [b"zz\r\n", b"\r\n", b"-1\r\n", b"5" + b"x" * 300, b" 5\r\n", b"5x\r\n", b"5 \r\n", b"0x5\r\n",
     b"5;a=" + b"b" * 300 + b"\r\n", b"5;a\nb\r\n"],
)  # fmt: skip
def test_what_makes_no_sense_as_a_chunk_is_where_a_request_ends(line):
    before = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"
    for pieces in ((before + line + PLAIN,), (before, line[:1], line[1:] + PLAIN)):
        arrival = _arrive(*pieces)
        assert arrival.is_whole
        assert _text(arrival) == before
        assert not arrival.is_exact


@pytest.mark.parametrize("digits", [b"5", b"000000000000000000000000005", b"\t5 "])
def test_the_length_is_the_one_that_gunicorn_reads(digits):
    request_bytes = HEAD + b"Content-Length:" + digits + b"\r\n\r\nhello"
    assert not _arrive(request_bytes[:-1]).is_whole
    assert _text(_arrive(request_bytes + PLAIN)) == request_bytes


def test_a_chunk_may_tell_its_size_in_more_digits_than_it_needs():
    request_bytes = HEAD + b"Transfer-Encoding: chunked\r\n\r\n00000000000005\r\nhello\r\n0\r\n\r\n"
    assert not _arrive(request_bytes[:-1]).is_whole
    assert _arrive(request_bytes).is_exact


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: +5", b"Content-Length: -5",
     b"Content-Length:", b"Content-Length: 5, 5", b"Content-Length: 5_0", b"Content-Length: \xb2",
     b"Content-Length: chunked", b"Transfer-Encoding: 5", b"Transfer-Encoding: gzip, chunked",
     b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
     b"Transfer-Encoding: chunked\r\nContent-Length: 5",
     b"Content-Length: 5\r\nTransfer-Encoding: chunked"],
)  # fmt: skip
def test_a_framing_that_can_be_read_in_two_ways_ends_the_connection(framing):
    head = HEAD + framing + b"\r\n\r\n"
    for pieces in ((head,), (head, b"hello"), (head + b"5\r\nhello\r\n0\r\n\r\n",)):
        arrival = _arrive(*pieces)
        assert arrival.is_whole
        assert _text(arrival) == head
        assert not arrival.is_exact


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"x" * 32_772], 431),
        ([b"x" * 30_000, b"x" * 3_000], 431),
        ([HEAD + b"Content-Length: 1000001\r\n\r\n"], 413),
        ([HEAD + b"content-length:99999999\r\n\r\n"], 413),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"F4241\r\n"], 413),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 14_000], 413),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0\r\n" + b"x: y\r\n" * 5_500], 431),
        ([HEAD + b"Content-Length: 00000000000000000001000001\r\n\r\n"], 413),
        ([HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n"], 413),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0000F4241\r\n"], 413),
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
    assert (parts.is_exact, _text(parts)) == (whole.is_exact, _text(whole))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_too_much(tail):
    for head in (b"", HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"):
        _arrive(head + tail)


LINES = st.sampled_from(
    [b"Host: x\r\n", b"content-length: 5\r\n", b"Content-Length: 00000000000000000000005\r\n",
     b"Content-Length: 5\n", b"Content-Length: 5\r\r\n", b"Content-Length : 5\r\n",
     b"Content_Length: 5\r\n", b"Content-Length: 5\r\n 0\r\n", b"X: y\nContent-Length: 5\r\n",
     b"X: y\rContent-Length: 5\r\n", b"Content-Length: \r\n", b"Content-Length: 05 \r\n",
     b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\tCHUNKED \r\n",
     b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: identity, chunked\r\n",
     b"Transfer-Encoding: chunked\n", b"Transfer-Encoding: \x0bchunked\r\n"]
)  # fmt: skip
BODIES = st.sampled_from(
    [b"hello", b"5\r\nhello\r\n", b"0000000005\r\nhello\r\n", b"5;a=b\r\nhello\r\n",
     b"5 ;a\r\nhello\r\n", b"5;a=\"\r\nhello\r\n", b"5\nhello\r\n", b"5\r\nhello", b"1\r\nxxx\r\n",
     b"0\r\n", b"00;a\r\n", b"\r\n", b"\n", b"A: b\r\n", b"Content-Length: 5\r\n",
     b"GET / HTTP/1.1\r\n\r\n"]
)  # fmt: skip


@given(st.lists(LINES, max_size=3), st.lists(BODIES, max_size=5))
def test_a_connection_is_kept_only_where_gunicorn_sees_the_same_end(lines, bodies):
    arrival = _arrive(b"POST / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n")
    for body in bodies:
        if not arrival.is_whole:
            arrival.add(body)
    if not arrival.is_whole or not arrival.is_exact:
        return
    parser = get_parser(Config(), [_text(arrival) + b"behind"], ("127.0.0.1", 1))
    try:
        next(parser).body.read()
    except (ParseException, NoMoreData):
        return
    assert parser.unreader.take_buffered() == b"behind"
