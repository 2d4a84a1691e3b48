"""Parse the arguments of a call: a JSON object that Postgres can store."""

import json
import math
import sys
from decimal import Decimal
from typing import Any, NoReturn

from db.errors import ToolError, Violation

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
        raise _wrong("", "must be an object")
    for path, part in _parts(value):
        if isinstance(part, str) and not _is_storable(part):
            raise _wrong(path, "holds a character that cannot be stored (NUL or half a surrogate)")
        if isinstance(part, int | float) and abs(part) > sys.float_info.max:
            raise _wrong(path, "is too large a number")
    return value


def _parts(value: Any) -> list[tuple[str, Any]]:
    """Every name and value below *value*, each with its JSON pointer."""
    found, waiting = [], [("", value, 0)]
    while waiting:
        path, part, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ToolError("invalid_json", "The arguments are nested too deeply.")
        found.append((path, part))
        if isinstance(part, dict):
            found.extend((path, name) for name in part)
            waiting.extend((f"{path}/{_escape(n)}", p, depth + 1) for n, p in part.items())
        elif isinstance(part, list):
            waiting.extend((f"{path}/{i}", p, depth + 1) for i, p in enumerate(part))
    return found


def _number(text: str) -> int | float:
    """`5.0` and `1e3` are integers to JSON Schema, so Postgres gets them as such."""
    number = float(text)
    if not math.isfinite(number) or not number.is_integer():
        return number
    exact = Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# made once: json.loads makes one for each call that has options, which takes longer than reading
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_number)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _wrong(path: str, message: str) -> ToolError:
    return ToolError(
        "invalid_arguments",
        "The arguments do not fit the tool. Correct what is listed and call it again.",
        violations=(Violation(path=path, message=message),),
    )


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
