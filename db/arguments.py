"""Parse the arguments of a call into a JSON object that Postgres can store."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from db.errors import ToolError, Violation
from db.json_problems import position, problem
from db.numbers import integer, number

MAX_ARGUMENT_BYTES = 65_536
"""Limit of one call's arguments; a model writes a few hundred bytes."""
MAX_UNUSABLE = 20
"""Values that cannot be stored, listed at once; the mistakes of the schema come after them."""
MAX_PATH = 200
"""Characters of a violation's JSON pointer."""
REFUSED = (
    "The arguments do not fit the tool, and the same call would be refused again."
    " Correct all that violations lists, then call the tool with the corrected arguments."
)
"""The error output of arguments that the schema refuses."""
MAX_DEPTH = 64
"""Levels of nesting; deeper than any schema here, and far from Python's own limit."""


def parse(
    arguments: str, *, reject: Callable[[Mapping[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    """
    The object in a JSON string; an empty string and `null` are an empty object.

    Args:
        reject: Called with the object before its values are looked at; it may raise.

    Raises:
        ToolError: `too_large`, `invalid_json`, or `invalid_arguments` for what is no object or
            holds characters that Postgres cannot store.
    """
    if len(arguments.encode("utf-8", "surrogatepass")) > MAX_ARGUMENT_BYTES:
        raise ToolError("too_large", "The arguments are too large. Send less than 64 kB.")
    text = arguments.removeprefix("\ufeff")
    try:
        value = _DECODER.decode(text if text.strip() else "{}")
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as exc:
        at = position(text, exc)
        problem_at = f"The arguments are not valid JSON at character {at}: {problem(text, exc)}."
        raise ToolError("invalid_json", f"{problem_at} {_AGAIN}") from None
    except ValueError as exc:
        raise ToolError(
            "invalid_json", f"The arguments are not valid JSON: {exc}. {_AGAIN}"
        ) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _refused([Violation(path="", message=_no_object(value))])
    reject(value)
    wrong = _unusable(value)
    if wrong:
        raise _refused(wrong)
    return value


def _no_object(value: Any) -> str:
    must = 'must be an object, such as {"name": "value"}'
    if isinstance(value, str) and value.strip().startswith("{"):
        return f"{must}: it is a string that holds one; send the object itself, without quotes"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"{must}: leave out the [ ]; call the tool once for each object"
    return f"{must}, not {_KINDS.get(type(value), 'a number')}"


_KINDS = {str: "a string", list: "an array", bool: "true or false"}
_AGAIN = "Write them again as one JSON object."


# The places on the way to a value, the last first. A JSON pointer for each value would take memory
# that grows as the length of the names times the number of values, both of which a caller chooses.
_Trail = tuple["_Trail", str | int] | None


def _unusable(arguments: dict[str, Any]) -> list[Violation]:
    """Values that Postgres cannot store and names that are given twice, wherever they are."""
    found: list[Violation] = []
    waiting: list[tuple[Any, _Trail, int]] = [(arguments, None, 0)]
    while waiting:
        part, trail, depth = waiting.pop()
        if isinstance(part, str):
            if not is_storable(part):
                found.append(_wrong(trail, _NOT_STORABLE))
        elif isinstance(part, int | float):
            if part != part:
                found.append(_wrong(trail, "has more digits than can be kept: round it"))
            elif abs(part) > sys.float_info.max:
                found.append(_wrong(trail, "is too large a number: write a smaller one"))
        elif depth > MAX_DEPTH:
            raise _too_deep()
        elif isinstance(part, dict):
            if not all(map(is_storable, part)):
                found.append(_wrong(trail, _NOT_STORABLE))
            if isinstance(part, Repeated):
                found += [
                    _wrong((trail, name), "is given twice: give it once") for name in part.names
                ]
            waiting += [(inner, (trail, name), depth + 1) for name, inner in part.items()]
        elif isinstance(part, list):
            waiting += [(inner, (trail, at), depth + 1) for at, inner in enumerate(part)]
        if len(found) > MAX_UNUSABLE:
            break
    return found


class Repeated(dict[str, Any]):
    """An object in which some names are given twice, of which JSON readers keep the last."""

    names: tuple[str, ...] = ()


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these names and values; a `Repeated` if a name is among them twice."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = Repeated(found)
    counted = Counter(name for name, _ in pairs)
    repeated.names = tuple(name for name, count in counted.items() if count > 1)
    return repeated


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number, write null or leave it out")


# made once: json.loads makes one for each call that has options, which takes longer than reading
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_float=number,
    parse_int=integer,
    object_pairs_hook=object_of,
)


_NOT_STORABLE = (
    "holds a character that cannot be stored (NUL or half a surrogate pair): leave it out"
)


def is_storable(text: str) -> bool:
    """Whether Postgres can store a text: no NUL, no half of a surrogate pair."""
    if text.isascii():
        return "\x00" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _too_deep() -> ToolError:
    return ToolError(
        "invalid_json", f"The arguments are nested more than {MAX_DEPTH} levels deep. {_AGAIN}"
    )


def _wrong(trail: _Trail, message: str) -> Violation:
    places = []
    while trail is not None:
        trail, place = trail
        places.append(str(place).replace("~", "~0").replace("/", "~1"))
    path = "".join(f"/{p}" for p in reversed(places))
    return Violation(path=path if len(path) <= MAX_PATH else path[:MAX_PATH] + "…", message=message)


def _refused(violations: Sequence[Violation]) -> ToolError:
    return ToolError("invalid_arguments", REFUSED, violations=tuple(violations))
