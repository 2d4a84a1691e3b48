"""List every violation of refused arguments, with jsonschema."""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema import Draft7Validator, FormatChecker, ValidationError, validators

from db.arguments import MAX_PATH
from db.catalog.schema.equality import first_repeated
from db.catalog.schema.subschemas import escape, mapped, resolved
from db.catalog.words.broken import Broken
from db.catalog.words.sentences import sentence
from db.errors import Violation
from db.formats import FORMATS
from db.patterns import compile_pattern

MAX_VIOLATIONS = 100
"""Listed for the model; 64 kB of arguments can hold thousands, which would fill a submission."""


MAX_ERRORS = 1_000
"""Looked at, of which many may be alike once their paths are cut."""
MAX_OF_A_BRANCH = 20
"""Errors of one schema of an `anyOf` or `oneOf`; a sentence names five."""
MAX_WHOLE_BRANCHES = 1_000
"""Looked at beyond their first error: of those that recur, each level would double the work."""
_WHOLE_BRANCHES: ContextVar[list[int]] = ContextVar("whole branches left")
_MORE = Violation(path="", message="has more mistakes; correct these first")


class Explainer:
    """
    A schema as jsonschema reads it: complete and slow, for what fastjsonschema refused.

    Args:
        schema: A JSON Schema of draft 7 whose references all stay inside it.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._validator: Any = _VALIDATOR(_without_false(schema), format_checker=_FORMAT_CHECKER)

    def is_valid(self, value: Any) -> bool:
        """Whether *value* fits the schema."""
        return bool(self._validator.is_valid(value))

    def fits(self, value: Any, part: Any) -> bool:
        """Whether *value* fits *part*, a schema inside this one."""
        return bool(self._validator.evolve(schema=_without_false(part)).is_valid(value))

    def violations(self, value: Any) -> tuple[Violation, ...]:
        """
        All that is wrong with *value*, in the order of the schema; never empty for a refused one.

        Of more than `MAX_VIOLATIONS` the first are listed, and a last one says that there are more.
        """
        found: dict[tuple[str, str], Violation] = {}
        _WHOLE_BRANCHES.set([MAX_WHOLE_BRANCHES])
        try:
            for number, error in enumerate(self._validator.iter_errors(value)):
                violation = self._violation(error)
                found.setdefault((violation["path"], violation["message"]), violation)
                if len(found) > MAX_VIOLATIONS or number == MAX_ERRORS:
                    return (*islice(found.values(), MAX_VIOLATIONS), _MORE)
        except RecursionError:
            return (Violation(path="", message="is nested too deeply for this tool"),)
        return tuple(found.values())

    def _violation(self, error: Any) -> Violation:
        path = list(error.absolute_path)
        broken = replace(
            _broken(error, path),
            may_be_left_out=self._may_be_left_out(path),
            branches=_branches(error),
        )
        root = self._schema if isinstance(self._schema, dict) else {}
        return Violation(path=broken.path, message=sentence(broken, root))

    def _may_be_left_out(self, path: list[Any]) -> bool:
        """Whether the last name of *path* is a property that its object need not have."""
        schema: Any = self._schema
        for number, part in enumerate(path):
            schema = resolved(schema, self._schema)
            if isinstance(part, int):
                schema = schema.get("items", {})
                continue
            properties = schema.get("properties", {})
            if part not in properties:
                return False
            if number == len(path) - 1:
                return part not in schema.get("required", ())
            schema = properties[part]
        return False


def _without_false(schema: Any) -> Any:
    """The schema with `not: {}` for `false`, of which jsonschema reports the path of its parent."""
    if schema is False:
        return {"not": {}}
    if not isinstance(schema, dict):
        return schema
    changed = mapped(schema, _without_false)
    if schema.get("additionalProperties") is False:  # our own function reports it
        changed["additionalProperties"] = False
    return changed


def pointer(path: list[Any]) -> str:
    """A path of names and indexes as a JSON pointer, cut when it is long."""
    text = ""
    for part in path:
        text += f"/{escape(str(part)[: MAX_PATH + 1])}"
        if len(text) > MAX_PATH:
            return text[:MAX_PATH] + "…"
    return text


def _branches(error: Any) -> list[list[Broken]]:
    """For each schema of an `anyOf` or `oneOf` what of it is broken; empty for other rules."""
    if error.validator not in ("anyOf", "oneOf"):
        return []
    found: list[list[Broken]] = [[] for _ in error.validator_value]
    for inner in error.context:
        branch = inner.relative_schema_path[0]
        found[branch].append(_broken(inner, list(inner.relative_path)))
    return found


def _broken(error: Any, path: list[Any]) -> Broken:
    return Broken(
        rule=str(error.validator),
        wanted=error.validator_value,
        given=error.instance,
        schema=error.schema if isinstance(error.schema, dict) else {},
        name=str(path[-1]) if path else "",
        path=pointer(path),
    )


# the same few patterns are searched for each item of an array
_compiled = lru_cache(maxsize=1024)(compile_pattern)


def _for_text(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, str) or check(value)


def _error(message: str, path: tuple[str, ...] = ()) -> Any:
    return ValidationError(message, path=path)


def _required(_: Any, names: list[str], value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (_error("required", (name,)) for name in names if name not in value)


def _additional_properties(
    validator: Any, allowed: Any, value: Any, schema: Mapping[str, Any]
) -> Iterator[Any]:
    if not isinstance(value, dict):
        return
    patterns = [_compiled(text) for text in schema.get("patternProperties", {})]
    for name, part in value.items():
        if name in schema.get("properties", {}) or any(p.search(name) for p in patterns):
            continue
        if allowed is False:
            yield _error("not known", (name,))
        else:
            yield from validator.descend(part, allowed, path=name)


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any
) -> Iterator[Any]:
    if not isinstance(value, dict):
        return
    for text, part in patterns.items():
        pattern = _compiled(text)
        for name in filter(pattern.search, value):
            yield from validator.descend(value[name], part, path=name, schema_path=text)


def _any_of(validator: Any, parts: list[Any], value: Any, schema: Any) -> Iterator[Any]:
    found = _of_branches(validator, parts, value)
    if all(found):
        yield ValidationError("anyOf", context=[error for errors in found for error in errors])


def _one_of(validator: Any, parts: list[Any], value: Any, schema: Any) -> Iterator[Any]:
    found = _of_branches(validator, parts, value)
    if sum(not errors for errors in found) != 1:
        yield ValidationError("oneOf", context=[error for errors in found for error in errors])


def _of_branches(validator: Any, parts: list[Any], value: Any) -> list[list[Any]]:
    # jsonschema keeps each error of each branch: 200 MB for 64 kB of arguments
    left = _WHOLE_BRANCHES.get([0])
    found = []
    for number, part in enumerate(parts):
        left[0] -= 1
        most = MAX_OF_A_BRANCH if left[0] > 0 else 1
        found.append(list(islice(validator.descend(value, part, schema_path=number), most)))
    return found


def _pattern(_: Any, text: str, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, str) and not _compiled(text).search(value):
        yield _error("pattern")


def _multiple_of(_: Any, step: float, value: Any, schema: Any) -> Iterator[Any]:
    # jsonschema divides floats: 0.3 is no multiple of 0.1 there
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (Fraction(repr(value)) / Fraction(repr(step))).denominator != 1:
        yield _error("multipleOf")


def _unique_items(_: Any, is_wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    # jsonschema compares each item of unlike kinds with each other one
    if is_wanted and isinstance(value, list) and first_repeated(value) is not None:
        yield _error("uniqueItems")


def _format_checker() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name)(_for_text(check))
    return checker


_FORMAT_CHECKER = _format_checker()
# Draft 7 with our patterns, exact multiples, linear uniqueness, and a path for each name
_VALIDATOR = validators.extend(  # type: ignore[no-untyped-call]
    Draft7Validator,
    {
        "required": _required,
        "additionalProperties": _additional_properties,
        "patternProperties": _pattern_properties,
        "anyOf": _any_of,
        "oneOf": _one_of,
        "pattern": _pattern,
        "multipleOf": _multiple_of,
        "uniqueItems": _unique_items,
    },
)
