"""Validate the arguments of a call against its tool's schema."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import fastjsonschema

from db.arguments import parse
from db.catalog.sentences import violations_of
from db.errors import ToolError
from db.formats import FORMATS, translated


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
        violations = violations_of(errors)
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
