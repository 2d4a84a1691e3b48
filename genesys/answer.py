"""HTTP response of Genesys: status, error code, Retry-After; a body that is no JSON is empty."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_WAIT_IN_BODY = re.compile(r"\[(\d{1,6})\] seconds")


@dataclass(frozen=True)
class Answer:
    """Status, headers, and `body`: the JSON object, or empty when there was none."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def code(self) -> str | None:
        """Genesys' own error code, or OAuth's."""
        return _line(self.body.get("code"), 100) or _line(self.body.get("error"), 100) or None

    @property
    def message(self) -> str:
        """The error's sentence, cut to 300 characters and on one line; empty if there is none."""
        names = ("message", "error_description", "description")
        return next((text for name in names if (text := _line(self.body.get(name), 300))), "")

    @property
    def correlation_id(self) -> str | None:
        """The id by which Genesys' support finds the request."""
        header = _line(self.headers.get("ININ-Correlation-Id"), 100)
        return header or _line(self.body.get("contextId"), 100) or None

    @property
    def rate_limit_remaining(self) -> int | None:
        """`X-RateLimit-Remaining`: requests left in Genesys' window; None when it is not sent."""
        header = self.headers.get("X-RateLimit-Remaining", "").strip()
        is_number = header.isascii() and header.isdigit() and len(header) <= 9
        return int(header) if is_number else None

    @property
    def retry_after_s(self) -> float | None:
        """Seconds to wait: the header, a number or a date; else what a 429's message names."""
        header = self.headers.get("Retry-After", "").strip()
        if header:
            return _seconds(header)
        found = _WAIT_IN_BODY.search(self.message) if self.status == 429 else None
        return float(found[1]) if found else None


def json_object(raw: bytes) -> Mapping[str, Any]:
    """The JSON object in *raw*; empty for everything else, which is never an error."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def one_line(text: str, limit: int) -> str:
    """*text*, cut to *limit* characters, with a space for each that a log line cannot hold."""
    return "".join(char if char.isprintable() else " " for char in text[:limit])


def _line(value: object, limit: int) -> str:
    return one_line(value, limit) if isinstance(value, str) else ""


def _seconds(header: str) -> float | None:
    if header.isascii() and header.isdigit() and len(header) <= 9:
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
