"""What has come of one HTTP request so far: is it whole, is it too much? No socket, no clock."""

import re
from collections.abc import Iterator

from webhook.errors import TooMuch

MAX_BODY_BYTES = 1_000_000
"""Twice what a whole submission may hold (512,000 bytes): no sound delivery comes near."""
MAX_HEAD_BYTES = 32_768
"""Request line and headers; those of a delivery through two proxies take about 2,000."""

_PIECE_BYTES = 8_192  # gunicorn copies the rest of a piece for each chunk it reads from it
_FRAMING_BYTES = 65_536  # what the chunks' own lines may take; chunks of 100 bytes need 60,000
_CHUNK_LINE_BYTES = 256
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding):([^\r\n]*)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]+)(?:[ \t]*;.*)?")


class Arrival:
    """
    The bytes of one request, added as they come.

    It only tells where the request ends, so that no thread waits for a sender; whether it is a
    good one is gunicorn's to say. What makes no sense therefore counts as whole, up to the place
    where it stops making sense, and what comes behind it is never taken for another request.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._body_at = 0
        self._end: int | None = None
        self._is_clear = True
        self._chunks: _Chunks | None = None

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def is_whole(self) -> bool:
        """Whether all of the request has come; later bytes belong to another."""
        return self._end is not None and len(self._bytes) >= self._end

    @property
    def is_exact(self) -> bool:
        """Whether its end is certain and nothing came behind it."""
        return self._is_clear and self._end == len(self._bytes)

    @property
    def waits_for_continue(self) -> bool:
        """Whether the sender wants to hear "100 Continue" before it sends the body."""
        has_no_body_yet = 0 < self._body_at == len(self._bytes)
        return has_no_body_yet and not self.is_whole and bool(_EXPECTS.search(self._bytes))

    def pieces(self) -> Iterator[bytes]:
        """The request, and nothing that came behind it; bit by bit, so it is not held twice."""
        for at in range(0, self._end or 0, _PIECE_BYTES):
            yield bytes(self._bytes[at : min(at + _PIECE_BYTES, self._end or 0)])

    def clear(self) -> None:
        """Let go of all bytes; gunicorn's reader of chunks refers to itself, and so to `pieces`."""
        self._bytes.clear()

    def add(self, data: bytes) -> None:
        """
        Take what came next.

        Raises:
            TooMuch: The head, the body or what is around its chunks is larger than allowed, or
                says that it will be.
        """
        searched = max(0, len(self._bytes) - 3)
        self._bytes += data
        if not self._body_at:
            self._find_body(searched)
        if self._chunks and self._end is None:
            self._end = self._chunks.find_end(self._bytes, searched)
            self._is_clear = self._chunks.make_sense

    def _find_body(self, searched: int) -> None:
        head_end = self._bytes.find(b"\r\n\r\n", searched)
        if _length_before(head_end, self._bytes) > MAX_HEAD_BYTES:
            raise TooMuch(431, f"The headers are larger than {MAX_HEAD_BYTES} bytes.")
        if head_end < 0:
            return
        self._body_at = head_end + 4
        framing = _FRAMING.findall(self._bytes, 0, self._body_at)
        if not framing:
            self._end = self._body_at
            return
        name, value = framing[0][0].lower(), framing[0][1].strip(b" \t")
        if len(framing) == 1 and name == b"content-length" and value.isdigit():
            self._end = self._body_at + _body_bytes(value)
        elif len(framing) == 1 and name == b"transfer-encoding" and value.lower() == b"chunked":
            self._chunks = _Chunks(self._body_at)
        else:
            self._end = self._body_at
            self._is_clear = False


class _Chunks:
    """Looks for the end of a body in chunks, and at no byte again but those of a line not whole."""

    def __init__(self, at: int) -> None:
        self.make_sense = True
        self._at = at  # the next chunk, or the trailers
        self._are_over = False
        self._body_bytes = 0
        self._framing_bytes = 0

    def find_end(self, text: bytearray, searched: int) -> int | None:
        """
        Where the body ends, or stops making sense; None while that has not come.

        Args:
            searched: No end of trailers begins before.

        Raises:
            TooMuch: The body is larger than allowed, or what is around its chunks.
        """
        while not self._are_over and self._at < len(text):
            line_end = text.find(b"\r\n", self._at, self._at + _CHUNK_LINE_BYTES)
            if line_end < 0 and len(text) - self._at < _CHUNK_LINE_BYTES:
                return None
            size = _CHUNK_SIZE.fullmatch(text, self._at, line_end) if line_end >= 0 else None
            if not size:
                self.make_sense = False
                return self._at
            self._pass(int(size[1], 16), line_end + 2)
        return self._end_of_trailers(text, searched) if self._are_over else None

    def _pass(self, size: int, data_at: int) -> None:
        if size == 0:
            self._are_over = True
            self._at = data_at
            return
        self._body_bytes += size
        if self._body_bytes > MAX_BODY_BYTES:
            raise _too_large()
        self._framing_bytes += data_at - self._at + 2  # each chunk ends with a line end of its own
        if self._framing_bytes > _FRAMING_BYTES:
            raise TooMuch(413, "The body comes in too many chunks.")
        self._at = data_at + size + 2

    def _end_of_trailers(self, text: bytearray, searched: int) -> int | None:
        # without trailers their end begins with the line end of the last chunk's size
        end = text.find(b"\r\n\r\n", max(searched, self._at - 2))
        if _length_before(end, text) - self._at > MAX_HEAD_BYTES:
            raise TooMuch(431, f"The trailers are larger than {MAX_HEAD_BYTES} bytes.")
        return end + 4 if end >= 0 else None


def _length_before(end: int, text: bytearray) -> int:
    """At least so many bytes come before *end*; three of the last may be its beginning."""
    return end if end >= 0 else len(text) - 3


def _body_bytes(digits: bytes) -> int:
    """What gunicorn reads from *digits*; leading zeros do not count against the limit."""
    digits = digits.lstrip(b"0") or b"0"
    if len(digits) > len(str(MAX_BODY_BYTES)) or int(digits) > MAX_BODY_BYTES:
        raise _too_large()
    return int(digits)


def _too_large() -> TooMuch:
    return TooMuch(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
