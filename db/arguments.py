"""Hold the arguments of a call against its tool's schema, and say all that is wrong in words."""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NoReturn

import fastjsonschema

from db.errors import ToolError, Violation
from db.formats import ASCII, FORMATS, SPACES, translated

MAX_ARGUMENT_BYTES = 65_536
"""Of one call's arguments; a model writes a few hundred."""
MAX_VIOLATIONS = 100
"""Listed for the model; 64 kB of arguments can hold thousands, which would fill a submission."""
MAX_PATH = 200
"""Characters of a violation's JSON pointer."""
MAX_DEPTH = 64
"""Levels of nesting; deeper than any schema here, and far from Python's own limit."""


class Validator:
    """
    One tool's schema, compiled once: quick for good arguments, complete for bad ones.

    Args:
        schema: The tool's `parameters`, checked before.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._properties = list(schema.get("properties", {}))
        self._check = compile_schema(schema, fast_fail=True)
        self._report: Callable[[Any], Any] | None = None

    def values(self, arguments: str) -> dict[str, Any]:
        """
        One value for each property: as given, else the schema's default, else None.

        Raises:
            ToolError: `invalid_json`, `too_large`, or `invalid_arguments` with all violations.
        """
        given = parse(arguments)
        try:
            checked = self._check(given)
        except fastjsonschema.JsonSchemaException:
            raise self._refusal(parse(arguments)) from None
        return {name: checked.get(name) for name in self._properties}

    def _refusal(self, given: dict[str, Any]) -> ToolError:
        if self._report is None:
            self._report = compile_schema(self._schema, fast_fail=False)
        try:
            self._report(given)
        except fastjsonschema.JsonSchemaValuesException as found:
            errors = found.errors
        except fastjsonschema.JsonSchemaValueException as found:
            errors = [found]
        violations = _distinct(errors)
        return ToolError(
            "invalid_arguments",
            "The arguments do not fit the tool. Correct what is listed and call it again.",
            violations=violations,
        )


def compile_schema(schema: Mapping[str, Any], *, fast_fail: bool) -> Callable[[Any], Any]:
    """
    A function that returns its argument with defaults filled in, or raises.

    Raises:
        JsonSchemaDefinitionException: The schema itself is wrong. A `$ref` that leaves the file
            would be fetched here: the catalogue refuses it before.
    """
    check: Callable[[Any], Any] = fastjsonschema.compile(
        _with_python_patterns(schema), formats=FORMATS, fast_fail=fast_fail
    )
    return check


def _with_python_patterns(schema: Any) -> Any:
    """The schema with each pattern as Python reads it; those it cannot read stay, to be refused."""
    if isinstance(schema, list):
        return [_with_python_patterns(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {
        name: part if name in _VALUES else _with_python_patterns(part)
        for name, part in schema.items()
    }
    if isinstance(schema.get("pattern"), str):
        changed["pattern"] = _python_pattern(schema["pattern"])
    if isinstance(schema.get("patternProperties"), dict):
        changed["patternProperties"] = {
            _python_pattern(name): part for name, part in changed["patternProperties"].items()
        }
    return changed


def _python_pattern(pattern: str) -> str:
    try:
        return translated(pattern)
    except (ValueError, re.error):
        return pattern


_VALUES = frozenset({"enum", "const", "default", "examples"})
"""Keywords that hold values and no schemas."""


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


def _distinct(errors: list[Any]) -> tuple[Violation, ...]:
    found: dict[tuple[str, str], Violation] = {}
    for error in errors:
        for violation in map(_cut, _violations(error)):
            found.setdefault((violation["path"], violation["message"]), violation)
    listed = tuple(found.values())
    if len(listed) > MAX_VIOLATIONS:
        more = f"and {len(listed) - MAX_VIOLATIONS} more mistakes of this kind"
        listed = (*listed[:MAX_VIOLATIONS], Violation(path="", message=more))
    return listed


def _cut(violation: Violation) -> Violation:
    """A name that was made up may be 60 kB long."""
    path = violation["path"]
    if len(path) > MAX_PATH:
        path = path[:MAX_PATH] + "…"
    return Violation(path=path, message=violation["message"])


def _violations(error: Any) -> list[Violation]:
    """What one rule has against the arguments, in words that a model can act on."""
    path = "".join(f"/{_escape(str(part))}" for part in error.path[1:])
    rule, wanted = error.rule, error.rule_definition
    given = error.value
    if rule == "required" and isinstance(given, dict):
        return [
            Violation(path=f"{path}/{_escape(name)}", message="is required and missing")
            for name in wanted
            if name not in given
        ]
    if rule == "additionalProperties" and isinstance(given, dict):
        allowed = error.definition.get("properties", {})
        names = ", ".join(allowed) or "none"
        return [
            Violation(path=f"{path}/{_escape(name)}", message=f"is not known; allowed: {names}")
            for name in given
            if name not in allowed
        ]
    if rule == "pattern":
        wanted = wanted.removeprefix(ASCII).replace(f"[{SPACES}]", r"\s").replace(SPACES, r"\s")
    return [Violation(path=path, message=_words(rule, wanted))]


def _words(rule: str, wanted: Any) -> str:
    text = json.dumps(wanted, ensure_ascii=False)
    if rule == "type":
        return f"must be of type {' or '.join(wanted) if isinstance(wanted, list) else wanted}"
    if rule == "enum":
        return f"must be one of {', '.join(json.dumps(w, ensure_ascii=False) for w in wanted)}"
    return _SENTENCES.get(rule, f"breaks the rule {rule}: {text}").replace("{}", text)


_SENTENCES = {
    "const": "must be {}",
    "pattern": "must match the pattern {}",
    "format": "must have the format {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "uniqueItems": "must not hold the same item twice",
}


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
