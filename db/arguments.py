"""Parse the arguments of a call: a JSON object that Postgres can store."""

import json
import sys
from typing import Any, NoReturn

from db.errors import ToolError, Violation
from db.numbers import integer, number

MAX_ARGUMENT_BYTES = 65_536
"""Of one call's arguments; a model writes a few hundred."""
MAX_DEPTH = 64
"""Levels of nesting; deeper than any schema here, and far from Python's own limit."""


def parse(arguments: str) -> dict[str, Any]:
    """
    The object in a JSON string; an empty string is an empty object.

    Raises:
        ToolError: `too_large`, `invalid_json`, or `invalid_arguments` for what is no object or
            holds characters that Postgres cannot store.
    """
    if len(arguments.encode("utf-8", "surrogatepass")) > MAX_ARGUMENT_BYTES:
        raise ToolError("too_large", "The arguments are too large. Send less than 64 kB.")
    try:
        value = _DECODER.decode(arguments or "{}")
    except RecursionError:
        raise ToolError("invalid_json", "The arguments are nested too deeply.") from None
    except ValueError as exc:
        where = f" (at character {exc.pos})" if isinstance(exc, json.JSONDecodeError) else ""
        raise ToolError("invalid_json", f"The arguments are not valid JSON{where}.") from None
    if not isinstance(value, dict):
        raise _wrong(None, "must be an object")
    _check(value)
    return value


# The places on the way to a value, the last first. A JSON pointer for each value would take memory
# that grows as the length of the names times the number of values, both of which a caller chooses.
_Trail = tuple["_Trail", str | int] | None


def _check(arguments: dict[str, Any]) -> None:
    """Refuse values that Postgres cannot store, wherever they are."""
    waiting: list[tuple[Any, _Trail, int]] = [(arguments, None, 0)]
    while waiting:
        part, trail, depth = waiting.pop()
        if isinstance(part, str):
            if not _is_storable(part):
                raise _wrong(trail, _NOT_STORABLE)
        elif isinstance(part, int | float):
            if part != part:
                raise _wrong(trail, "has more digits than can be kept")
            if abs(part) > sys.float_info.max:
                raise _wrong(trail, "is too large a number")
        elif depth > MAX_DEPTH:
            raise ToolError("invalid_json", "The arguments are nested too deeply.")
        elif isinstance(part, dict):
            if not all(map(_is_storable, part)):
                raise _wrong(trail, _NOT_STORABLE)
            waiting += [(inner, (trail, name), depth + 1) for name, inner in part.items()]
        elif isinstance(part, list):
            waiting += [(inner, (trail, at), depth + 1) for at, inner in enumerate(part)]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# made once: json.loads makes one for each call that has options, which takes longer than reading
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=number, parse_int=integer)


_NOT_STORABLE = "holds a character that cannot be stored (NUL or half a surrogate)"


def _is_storable(text: str) -> bool:
    if text.isascii():
        return "\x00" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _wrong(trail: _Trail, message: str) -> ToolError:
    places = []
    while trail is not None:
        trail, place = trail
        places.append(str(place).replace("~", "~0").replace("/", "~1"))
    return ToolError(
        "invalid_arguments",
        "The arguments do not fit the tool. Correct what is listed and call it again.",
        violations=(Violation(path="".join(f"/{p}" for p in reversed(places)), message=message),),
    )
