"""Violations of a schema, in words that a model can act on."""

import json
from typing import Any

from db.catalog.keywords import escape
from db.errors import Violation
from db.formats import ASCII, SPACES

MAX_VIOLATIONS = 100
"""Listed for the model; 64 kB of arguments can hold thousands, which would fill a submission."""
MAX_PATH = 200
"""Characters of a violation's JSON pointer."""


def violations_of(errors: list[Any]) -> tuple[Violation, ...]:
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
    path = "".join(f"/{escape(str(part))}" for part in error.path[1:])
    rule, wanted = error.rule, error.rule_definition
    given = error.value
    if rule == "required" and isinstance(given, dict):
        return [
            Violation(path=f"{path}/{escape(name)}", message="is required and missing")
            for name in wanted
            if name not in given
        ]
    if rule == "additionalProperties" and isinstance(given, dict):
        allowed = error.definition.get("properties", {})
        names = ", ".join(allowed) or "none"
        return [
            Violation(path=f"{path}/{escape(name)}", message=f"is not known; allowed: {names}")
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
