"""Validate the arguments of a call against its tool's schema, then fill in its defaults."""

from collections.abc import Callable, Mapping
from typing import Any

import fastjsonschema

from db.arguments import REFUSED, parse
from db.catalog.explain import Explainer
from db.catalog.schema.defaults import with_defaults
from db.catalog.schema.subschemas import mapped, walk
from db.errors import ToolError
from db.formats import FORMATS
from db.patterns import compile_pattern


class Validator:
    """
    One tool's schema, compiled once: fastjsonschema judges, and only a refusal is explained.

    Args:
        schema: The tool's `parameters`, checked before.

        reject: Called with the arguments before they are judged; it may raise.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        reject: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._reject = reject
        self._schema = schema
        self._properties = list(schema.get("properties", {}))
        self._is_valid = compile_schema(schema)
        self._explainer = Explainer(schema)

    def values(self, arguments: str) -> dict[str, Any]:
        """
        One value for each property: as given, else the schema's default, else None.

        Raises:
            ToolError: `invalid_json`, `too_large`, or `invalid_arguments` with all violations.
        """
        given = parse(arguments, reject=self._reject)
        # of what it refuses jsonschema has the last word, so that no refusal is without a reason
        violations = () if self._is_valid(given) else self._explainer.violations(given)
        if violations:
            raise ToolError("invalid_arguments", REFUSED, violations=violations)
        filled = with_defaults(given, self._schema)
        return {name: filled.get(name) for name in self._properties}


def compile_schema(schema: Any) -> Callable[[Any], bool]:
    """
    A function that judges a value.

    Raises:
        JsonSchemaDefinitionException: The schema itself is wrong. A `$ref` that leaves the file
            would be fetched here: the catalogue refuses it before.
    """
    if _is_beyond_fastjsonschema(schema):
        return Explainer(schema).is_valid
    formats: dict[str, Callable[[str], bool]] = dict(FORMATS)
    judged = _judged(schema, formats)
    check = fastjsonschema.compile(judged, formats=formats, use_default=False)

    def is_valid(value: Any) -> bool:
        try:
            check(value)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return is_valid


def _is_beyond_fastjsonschema(schema: Any) -> bool:
    """
    Whether fastjsonschema 2.22 would judge otherwise than JSON Schema.

    It searches names with Python's `re`, divides numbers as floats, where 5e-324 is a multiple of
    3, and trips over braces in a name.
    """
    for _, part in walk(schema):
        if {"patternProperties", "multipleOf"} & set(part) or "{" in str(part.get("$ref", "")):
            return True
        if any("{" in name or "}" in name for name in part.get("properties", ())):
            return True
    return False


def _judged(schema: Any, formats: dict[str, Callable[[str], bool]]) -> Any:
    """
    The schema as fastjsonschema is given it: each pattern is a format with a function of its own.

    fastjsonschema would search with Python's `re`, which reads JavaScript's patterns differently
    and can take exponential time.
    """
    if not isinstance(schema, dict):
        return schema
    changed = mapped(schema, lambda part: _judged(part, formats))
    for key in ("pattern", "default", "examples", "title", "description", "$comment"):
        changed.pop(key, None)
    if "pattern" in schema:
        name = f"pattern {len(formats)}"
        formats[name] = compile_pattern(schema["pattern"]).search
        # behind the others, so that references into allOf still lead to what they name
        changed["allOf"] = [*changed.get("allOf", []), {"format": name}]
    return changed
