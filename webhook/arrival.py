"""What has come of one HTTP request so far: is it whole, is it too much? No socket, no clock."""

import re

from webhook.errors import TooMuch

MAX_BODY_BYTES = 1_000_000
"""Twice what a whole submission may hold (512,000 bytes): no sound delivery comes near."""
MAX_HEAD_BYTES = 32_768
"""Request line and headers; those of a delivery through two proxies take about 2,000."""

_FRAMING_BYTES = 65_536  # what the chunks' own lines may take beside the body
_CHUNK_LINE_BYTES = 256
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_ENCODED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")


class Arrival:
    """
    The bytes of one request, added as they come.

    It only tells where the request ends, so that no thread waits for a sender; whether it is a
    good one is gunicorn's to say. What makes no sense therefore counts as whole.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._body_at = 0
        self._end: int | None = None
        self._chunk_at: int | None = None
        self._chunked_bytes = 0

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def is_whole(self) -> bool:
        """Whether all of the request has come; later bytes belong to another."""
        return self._end is not None and len(self._bytes) >= self._end

    @property
    def is_exact(self) -> bool:
        """Whether nothing came behind the request."""
        return self._end == len(self._bytes)

    @property
    def waits_for_continue(self) -> bool:
        """Whether the sender wants to hear "100 Continue" before it sends the body."""
        has_no_body_yet = 0 < self._body_at == len(self._bytes)
        return has_no_body_yet and not self.is_whole and bool(_EXPECTS.search(self._bytes))

    def text(self) -> bytes:
        """The request, and nothing that came behind it."""
        return bytes(self._bytes[: self._end])

    def add(self, data: bytes) -> None:
        """
        Take what came next.

        Raises:
            TooMuch: The head or the body is larger than allowed, or says that it will be.
        """
        searched = max(0, len(self._bytes) - 3)
        self._bytes += data
        if not self._body_at:
            self._find_body(searched)
        if self._body_at and self._end is None:
            self._find_end_of_chunks()

    def _find_body(self, searched: int) -> None:
        head_end = self._bytes.find(b"\r\n\r\n", searched)
        head_bytes = head_end if head_end >= 0 else len(self._bytes)
        if head_bytes > MAX_HEAD_BYTES:
            raise TooMuch(431, f"The headers are larger than {MAX_HEAD_BYTES} bytes.")
        if head_end < 0:
            return
        self._body_at = head_end + 4
        head = bytes(self._bytes[: self._body_at])
        if _ENCODED.search(head):
            self._chunk_at = self._body_at
            return
        match = _LENGTH.search(head)
        length = int(match[1]) if match else 0
        if length > MAX_BODY_BYTES:
            raise _too_large()
        self._end = self._body_at + length

    def _find_end_of_chunks(self) -> None:
        while self._chunk_at is not None and self._chunk_at < len(self._bytes):
            line_end = self._bytes.find(b"\r\n", self._chunk_at, self._chunk_at + _CHUNK_LINE_BYTES)
            size = _SIZE.match(self._bytes, self._chunk_at)
            if line_end < 0 and size and len(self._bytes) - self._chunk_at < _CHUNK_LINE_BYTES:
                break
            if line_end < 0 or not size:  # no chunk begins like this
                self._end = len(self._bytes)
                return
            if int(size[0], 16) == 0:
                self._find_end_of_trailers(line_end)
                break
            # its own line end counts, too; a chunk that has not come whole is looked at again
            next_at = line_end + 2 + int(size[0], 16) + 2
            if self._chunked_bytes + int(size[0], 16) > MAX_BODY_BYTES:
                raise _too_large()
            if next_at > len(self._bytes):
                break
            self._chunked_bytes += int(size[0], 16)
            self._chunk_at = next_at
        if len(self._bytes) - self._body_at > MAX_BODY_BYTES + _FRAMING_BYTES:
            raise _too_large()

    def _find_end_of_trailers(self, last_line_end: int) -> None:
        found = self._bytes.find(b"\r\n\r\n", last_line_end)
        if found >= 0:
            self._end = found + 4


def _too_large() -> TooMuch:
    return TooMuch(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
