"""What can be wrong with a tool folder, one small check for each kind of mistake."""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from fastjsonschema import JsonSchemaDefinitionException

from db.arguments import KNOWN_FORMATS, Validator, compile_schema
from db.errors import Mistake, ToolError

MAX_TIMEOUT_MS = 60_000
MAX_ROWS = 10_000
MAX_BYTES = 400_000
"""Below the 512,000 bytes of a whole submission, with room for its escapes."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_KEYS = {
    "name": str,
    "description": str,
    "parameters": dict,
    "no_rows_message": str,
    "timeout_ms": int,
    "max_rows": int,
    "max_bytes": int,
    "database": str,
}
_REQUIRED = ("name", "description", "parameters")
_LIMITS = {"timeout_ms": MAX_TIMEOUT_MS, "max_rows": MAX_ROWS, "max_bytes": MAX_BYTES}
# fastjsonschema 2.22 checks few keywords itself and falls over the rest: "items": 3, a TypeError
_BAD_SCHEMA = (
    JsonSchemaDefinitionException,
    re.error,
    RecursionError,
    TypeError,
    AttributeError,
    LookupError,
    ValueError,
)
_PERCENT = re.compile(r"%(?:\((\w+)\)s|%|)")


@dataclass(frozen=True)
class Definition:
    """The three files of a tool, read but not yet trusted; the texts are for finding lines."""

    folder: str
    tool: dict[str, Any]
    tool_text: str
    sql: str
    examples: list[Any]
    examples_text: str

    def contents(self) -> bytes:
        """What the catalogue's digest is made of."""
        return "\0".join([self.folder, self.tool_text, self.sql, self.examples_text]).encode()

    def mistake(self, message: str, key: str = "") -> Mistake:
        """A mistake in tool.json, at the line of *key*."""
        return Mistake(f"{self.folder}/tool.json", _line_of(self.tool_text, f'"{key}"'), message)

    def sql_mistake(self, message: str, at: int = 0) -> Mistake:
        """A mistake in query.sql, at a character."""
        return Mistake(f"{self.folder}/query.sql", self.sql.count("\n", 0, at) + 1, message)


def read_definition(path: Path) -> tuple[Definition | None, list[Mistake]]:
    """The files of one tool folder, or why they cannot be read."""
    mistakes: list[Mistake] = []
    texts = {}
    for name in ("tool.json", "query.sql", "examples.json"):
        try:
            texts[name] = (path / name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            reason = "is missing" if isinstance(exc, FileNotFoundError) else "cannot be read"
            mistakes.append(Mistake(f"{path.name}/{name}", 1, reason))
    values = {}
    for name, kind in (("tool.json", dict), ("examples.json", list)):
        if name in texts:
            try:
                values[name] = json.loads(texts[name])
            except json.JSONDecodeError as exc:
                message = f"is not valid JSON: {exc.msg} (column {exc.colno})"
                mistakes.append(Mistake(f"{path.name}/{name}", exc.lineno, message))
            except (ValueError, RecursionError):
                mistakes.append(Mistake(f"{path.name}/{name}", 1, "is not usable JSON"))
            else:
                if not isinstance(values[name], kind):
                    wanted = "an object" if kind is dict else "an array"
                    mistakes.append(Mistake(f"{path.name}/{name}", 1, f"must hold {wanted}"))
    if mistakes:
        return None, mistakes
    return (
        Definition(
            path.name,
            values["tool.json"],
            texts["tool.json"],
            texts["query.sql"],
            values["examples.json"],
            texts["examples.json"],
        ),
        [],
    )


def check_definition(definition: Definition) -> Iterator[Mistake]:
    """Every mistake of one tool; checks that need a sound schema wait for one."""
    found = [*_keys(definition)]
    yield from found
    if found:
        return
    found = [*_schema(definition)]
    yield from found
    for check in _CHECKS:
        yield from check(definition)
    if not found:
        yield from _examples(definition)


def _keys(definition: Definition) -> Iterator[Mistake]:
    tool = definition.tool
    for key in tool:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(_KEYS)}"
            yield definition.mistake(f"{key} is not a key of a tool{hint}", key)
    for key in _REQUIRED:
        if key not in tool:
            yield definition.mistake(f"{key} is missing")
    for key, kind in _KEYS.items():
        if key in tool and (not isinstance(tool[key], kind) or isinstance(tool[key], bool)):
            words = {str: "a string", dict: "an object", int: "a whole number"}
            yield definition.mistake(f"{key} must be {words[kind]}", key)


def _name(definition: Definition) -> Iterator[Mistake]:
    name = definition.tool["name"]
    if name != definition.folder:
        yield definition.mistake(f"name is {name}, but the folder is {definition.folder}", "name")
    if not _NAME.match(name):
        yield definition.mistake("name must be 1 to 64 letters, digits, _ or -", "name")
    if not definition.tool["description"].strip():
        yield definition.mistake("description is empty; the model chooses by it", "description")


def _limits(definition: Definition) -> Iterator[Mistake]:
    for key, largest in _LIMITS.items():
        value = definition.tool.get(key)
        if value is not None and not 1 <= value <= largest:
            yield definition.mistake(f"{key} must be from 1 to {largest}", key)


def _schema(definition: Definition) -> Iterator[Mistake]:
    schema = definition.tool["parameters"]
    if schema.get("type") != "object":
        yield definition.mistake('parameters must have "type": "object"', "parameters")
        return
    if schema.get("additionalProperties") is not False:
        message = 'parameters must have "additionalProperties": false'
        yield definition.mistake(message, "additionalProperties")
    if not isinstance(schema.get("properties", {}), dict):
        yield definition.mistake("properties must be an object", "properties")
        return
    unusable = [*_unusable(definition, schema)]
    yield from unusable
    if not unusable:
        try:
            compile_schema(schema, fast_fail=True)
        except _BAD_SCHEMA as exc:
            yield definition.mistake(f"parameters is not a valid schema: {exc}", "parameters")


def _unusable(definition: Definition, schema: Any) -> Iterator[Mistake]:
    """What fastjsonschema would fetch, or ignore in silence."""
    if isinstance(schema, list):
        for part in schema:
            yield from _unusable(definition, part)
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        yield definition.mistake(f"$ref {reference} leaves the file; nothing is fetched", "$ref")
    known = schema.get("format")
    if isinstance(known, str) and known not in KNOWN_FORMATS:
        message = f"format {known} would not be checked; known: {', '.join(sorted(KNOWN_FORMATS))}"
        yield definition.mistake(message, known)
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and step <= 0:
        yield definition.mistake("multipleOf must be more than 0", "multipleOf")
    for part in schema.values():
        yield from _unusable(definition, part)


def _placeholders(definition: Definition) -> Iterator[Mistake]:
    properties = definition.tool["parameters"].get("properties", {})
    if not isinstance(properties, dict):
        return
    used = set()
    for found in _PERCENT.finditer(definition.sql):
        name = found[1]
        if name:
            used.add(name)
            if name not in properties:
                close = difflib.get_close_matches(name, properties, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                message = f"%({name})s is no property of the schema{hint}"
                yield definition.sql_mistake(message, found.start())
        elif found[0] == "%":
            yield definition.sql_mistake("a lone %; write %% for a percent sign", found.start())
    for name in properties:
        if name not in used:
            yield definition.mistake(f"{name} is asked for but query.sql does not use it", name)
    if not definition.sql.strip():
        yield definition.sql_mistake("is empty")
    if "\0" in definition.sql:
        yield definition.sql_mistake("holds a NUL character", definition.sql.index("\0"))


def _no_rows_message(definition: Definition) -> Iterator[Mistake]:
    properties = definition.tool["parameters"].get("properties", {})
    message = definition.tool.get("no_rows_message")
    if message is None:
        return
    try:
        fields = [part[1:] for part in Formatter().parse(message) if part[1] is not None]
    except ValueError as exc:
        yield definition.mistake(f"no_rows_message cannot be filled in: {exc}", "no_rows_message")
        return
    for name, form, conversion in fields:
        if name not in properties or form or conversion:
            text = f"no_rows_message has {{{name}}}, which is no property"
            yield definition.mistake(text, "no_rows_message")


def _examples(definition: Definition) -> Iterator[Mistake]:
    validator = Validator(definition.tool["parameters"])
    for number, example in enumerate(definition.examples, 1):
        wrong = _wrong_example(validator, example)
        if wrong:
            where = f"{definition.folder}/examples.json"
            line = _line_of(definition.examples_text, '"arguments"', number)
            yield Mistake(where, line, f"example {number}: {wrong}")


def _wrong_example(validator: Validator, example: Any) -> str | None:
    if not isinstance(example, dict) or not isinstance(example.get("arguments"), dict):
        return "must be an object with arguments"
    if set(example) - {"arguments", "output", "code"} or ("output" in example) == (
        "code" in example
    ):
        return "must have arguments and either output or code"
    try:
        validator.values(json.dumps(example["arguments"]))
    except ToolError as error:
        if example.get("code") == error.code:
            return None
        return (
            f"{error.code}: {'; '.join(v['path'] + ' ' + v['message'] for v in error.violations)}"
        )
    if example.get("code") == "invalid_arguments":
        return "expects invalid_arguments, but the arguments are valid"
    return None


def _line_of(text: str, part: str, occurrence: int = 1) -> int:
    """The line of the n-th *part*; 1 when there is none."""
    at = -1
    for _ in range(occurrence):
        at = text.find(part, at + 1)
    return text.count("\n", 0, at) + 1 if at >= 0 else 1


_CHECKS: tuple[Callable[[Definition], Iterator[Mistake]], ...] = (
    _name,
    _limits,
    _placeholders,
    _no_rows_message,
)
