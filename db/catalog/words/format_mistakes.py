"""Reasons why a text does not have its format."""

import re

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,30})?)?", re.ASCII)
_OFFSET = re.compile(r"[zZ]|[+-]\d\d(:?\d\d)?", re.ASCII)
_NO_OFFSET = "it has no offset; add Z for UTC, or one such as +01:00"


def reason(name: str, text: str) -> str:
    """
    What is wrong with *text*, which does not have the format *name*; empty when it cannot be named.

    Nothing of the text is repeated.
    """
    if text != text.strip():
        return "leave out the spaces around it"
    if name == "date":
        return _date(text)
    if name == "date-time":
        return _date_time(text)
    if name == "time":
        return _time(text)
    if name == "uuid" and len(text.replace("-", "")) == 32 and text.count("-") != 4:
        return "write it with four dashes"
    return ""


def _date(text: str) -> str:
    if _DAY.fullmatch(text):
        return "there is no such day"
    if _DAY.match(text) and text[10:11] in ("T", "t", " "):
        return "leave out the time"
    return ""


def _date_time(text: str) -> str:
    found = _DAY.match(text)
    if found is None:
        return ""
    rest = text[10:]
    if not rest:
        return "it has no time; add one such as T00:00:00Z"
    if rest[0] == " ":
        return "put a T, not a space, between date and time"
    if rest[0] not in "Tt":
        return ""
    return _time(rest[1:]) or "there is no such day"


def _time(text: str) -> str:
    clock = _CLOCK.match(text)
    if clock is None:
        return ""
    offset = text[clock.end() :]
    if not offset:
        return (
            _NO_OFFSET
            if clock[1]
            else f"it has no seconds, and {_NO_OFFSET.removeprefix('it has ')}"
        )
    if not _OFFSET.fullmatch(offset):
        return "leave out spaces and names; the offset is Z or one such as +01:00"
    if not clock[1]:
        return "it has no seconds"
    if offset not in "zZ" and ":" not in offset:
        return "write the offset with a colon, such as +01:00"
    if offset not in "zZ" and (int(offset[1:3]) > 15 or int(offset[4:6]) > 59):
        return "an offset is at most 15:59"
    hour, minute, second = (int(clock[0][at : at + 2]) for at in (0, 3, 6))
    if hour > 23 or minute > 59 or second > 59:
        return "there is no such time of day"
    return ""
