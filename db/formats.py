"""Formats and patterns as JSON Schema draft 7 and its public test suite read them."""

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Any

_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.\d{1,30})?(?:[zZ]|([+-])(\d\d):(\d\d))\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_EMAIL_PART = re.compile(r"[^\s@]+\Z")


def _is_read_by(read: Callable[[str], Any], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _is_date(text: str) -> bool:
    # a pattern alone would take the 30th of February
    return bool(_DATE.match(text)) and _is_read_by(date.fromisoformat, text)


def _is_time(text: str) -> bool:
    found = _TIME.match(text)
    if found is None:
        return False
    hour, minute, second = int(found[1]), int(found[2]), int(found[3])
    # Postgres takes no offset beyond 15:59, RFC 3339 up to 23:59
    ahead_hour, ahead_minute = int(found[5] or 0), int(found[6] or 0)
    if hour > 23 or minute > 59 or second > 60 or ahead_hour > 15 or ahead_minute > 59:
        return False
    if second < 60:
        return True
    # a leap second is the last one of a day in UTC
    ahead = ahead_hour * 60 + ahead_minute
    return (hour * 60 + minute - (ahead if found[4] != "-" else -ahead)) % 1440 == 1439


def _is_date_time(text: str) -> bool:
    return text[10:11] in ("T", "t") and _is_date(text[:10]) and _is_time(text[11:])


def _is_email(text: str) -> bool:
    # in steps that each read the text once: one pattern for all of it tries every dot again for
    # every dot, which takes 60 kB of them half a minute
    name, at, domain = text.partition("@")
    parts = [*name.split("."), *domain.split(".")]
    return bool(at) and "." in domain and all(_EMAIL_PART.match(part) for part in parts)


FORMATS: dict[str, Callable[[Any], bool]] = {
    "date": _is_date,
    "date-time": _is_date_time,
    "time": _is_time,
    "uuid": lambda text: bool(_UUID.match(text)),
    "email": _is_email,
    "ipv4": lambda text: _is_read_by(ipaddress.IPv4Address, text),
    "ipv6": lambda text: "%" not in text and _is_read_by(ipaddress.IPv6Address, text),
}
"""Check of each known format; a schema with any other is refused."""
