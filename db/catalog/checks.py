"""Check a tool folder: one small check for each kind of mistake."""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from string import Formatter
from typing import Any, get_args

from db.catalog import bind, bind_rules, calls, shapes, statement
from db.catalog.definition import Definition
from db.catalog.parameters import hint, problems
from db.catalog.schema.subschemas import escape
from db.catalog.validate import Validator
from db.errors import Code, Mistake, ToolError

MAX_TIMEOUT_MS = 60_000
MAX_ROWS = 10_000
MAX_BYTES = 400_000
"""Below the 512,000 bytes of a whole submission, with room for its escapes."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_CODES: tuple[str, ...] = get_args(Code)
_PROPERTY = re.compile(r"\w+")
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_KEYS = {
    "name": str,
    "description": str,
    "parameters": dict,
    "no_rows_message": str,
    "timeout_ms": int,
    "max_rows": int,
    "max_bytes": int,
    "database": str,
    "columns": dict,
    "aliases": dict,
    "bind": dict,
}
# what pasted definitions of functions have
_ELSEWHERE = {
    "function": "put what is under function at the top",
    "type": "leave it out; every tool is a function",
    "strict": "leave it out; a tool is always strict",
    "input_schema": "call it parameters",
    "inputSchema": "call it parameters",
    "tools": "give each tool a folder of its own",
    "functions": "give each tool a folder of its own",
}
_REQUIRED = ("name", "description", "parameters")
_LIMITS = {"timeout_ms": MAX_TIMEOUT_MS, "max_rows": MAX_ROWS, "max_bytes": MAX_BYTES}


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
    tool = definition.tool
    if not found and not [*shapes.problems(tool)] and not [*bind_rules.problems(tool)]:
        yield from _examples(definition)


def _keys(definition: Definition) -> Iterator[Mistake]:
    tool = definition.tool
    for key in tool:
        if "function" in tool and key != "function":
            continue
        if key in _ELSEWHERE:
            yield definition.mistake(f"{key} is not a key of a tool; {_ELSEWHERE[key]}", f"/{key}")
        elif key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(_KEYS)}"
            yield definition.mistake(f"{key} is not a key of a tool{hint}", f"/{escape(key)}")
    for key in _REQUIRED if "function" not in tool else ():
        if key not in tool:
            yield definition.mistake(f"{key} is missing")
    for key, kind in _KEYS.items():
        if key in tool and (not isinstance(tool[key], kind) or isinstance(tool[key], bool)):
            words = {str: "a string", dict: "an object", int: "a whole number"}
            yield definition.mistake(f"{key} must be {words[kind]}", f"/{key}")


def _name(definition: Definition) -> Iterator[Mistake]:
    name = definition.tool["name"]
    if name != definition.folder:
        yield definition.mistake(f"name is {name}, but the folder is {definition.folder}", "/name")
    if name.startswith(("_", ".")):
        yield definition.mistake(
            "a name may not begin with _ or .; such folders are no tools", "/name"
        )
    elif not _NAME.match(name):
        yield definition.mistake("name must be 1 to 64 letters, digits, _ or -", "/name")
    if not definition.tool["description"].strip():
        yield definition.mistake("description is empty; the model chooses by it", "/description")


def _limits(definition: Definition) -> Iterator[Mistake]:
    for key, largest in _LIMITS.items():
        value = definition.tool.get(key)
        if value is not None and not 1 <= value <= largest:
            yield definition.mistake(f"{key} must be from 1 to {largest}", f"/{key}")
    database = definition.tool.get("database")
    if database is not None and not _DATABASE.match(database):
        message = "database must be a letter, then letters, digits or _"
        yield definition.mistake(message, "/database")


def _schema(definition: Definition) -> Iterator[Mistake]:
    for pointer, message in problems(definition.tool["parameters"]):
        yield definition.mistake(message, f"/parameters{pointer}")


def _shapes(definition: Definition) -> Iterator[Mistake]:
    for pointer, message in shapes.problems(definition.tool):
        yield definition.mistake(message, pointer)


def _bind(definition: Definition) -> Iterator[Mistake]:
    for pointer, message in bind_rules.problems(definition.tool):
        yield definition.mistake(message, pointer)
    for at, name in calls.undoing(definition.sql) if definition.tool.get("bind") else ():
        text = f"{name}() could undo what is bound; a tool that binds may not call it"
        yield definition.sql_mistake(text, at)


def _statement(definition: Definition) -> Iterator[Mistake]:
    schema = definition.tool["parameters"]
    properties = schema.get("properties", {})
    if "\0" in definition.sql:
        yield definition.sql_mistake("holds a NUL character", definition.sql.index("\0"))
    for at, message in statement.problems(definition.sql):
        yield definition.sql_mistake(message, at)
    if not isinstance(properties, dict):
        return
    misnamed = [name for name in properties if not _PROPERTY.fullmatch(name)]
    for name in misnamed:
        message = f"{name} can be no placeholder: a name has letters, digits and _ alone"
        yield definition.mistake(message, f"/parameters/properties/{escape(name)}")
    for at, message in statement.foreign(definition.sql, properties):
        yield definition.sql_mistake(message, at)
    bare, used = statement.bare(definition.sql), set(misnamed)
    for found in statement.placeholders(definition.sql):
        if found.name == "":
            if not any(definition.sql.startswith(f"%({name})s", found.at) for name in misnamed):
                message = statement.lone_percent(definition.sql, found.at, properties)
                yield definition.sql_mistake(message, found.at)
        elif found.name is not None:
            used.add(found.name)
            if found.name not in properties:
                text = f"%({found.name})s is no property of the schema{hint(found.name, schema)}"
                yield definition.sql_mistake(text, found.at)
            elif bare[found.at] != "%":
                text = (
                    f"%({found.name})s stands in quotes or a comment, where nothing is bound;"
                    f" leave out the quotes, or write '%%' || %({found.name})s || '%%'"
                )
                yield definition.sql_mistake(text, found.at)
    for name in properties:
        # a bound one may be there for a policy alone (docs/security.md)
        if name not in used and name not in definition.tool.get("bind", {}):
            message = f"{name} is a property but query.sql does not use it"
            yield definition.mistake(message, f"/parameters/properties/{escape(name)}")


def _no_rows_message(definition: Definition) -> Iterator[Mistake]:
    properties = definition.tool["parameters"].get("properties", {})
    message = definition.tool.get("no_rows_message")
    if message is None:
        return
    try:
        fields = [part[1:] for part in Formatter().parse(message) if part[1] is not None]
    except ValueError as exc:
        yield definition.mistake(f"no_rows_message cannot be filled in: {exc}", "/no_rows_message")
        return
    for name, form, conversion in fields:
        if name not in properties or form or conversion:
            text = f"no_rows_message has {{{name}}}, which is no property"
            yield definition.mistake(text, "/no_rows_message")


def _examples(definition: Definition) -> Iterator[Mistake]:
    tool = definition.tool
    validator = Validator(bind.for_model(tool["parameters"], tool.get("bind", {})))
    for number, example in enumerate(definition.examples):
        wrong = (
            _wrong_example(validator, example)
            or bind_rules.example_problem(tool, example)
            or shapes.example_problem(tool, example)
        )
        if wrong:
            yield definition.example_mistake(number, wrong)


def _wrong_example(validator: Validator, example: Any) -> str | None:
    if not isinstance(example, dict) or not isinstance(example.get("arguments"), dict):
        return "must be an object with arguments"
    if set(example) - {"arguments", "bound", "output", "code"} or ("output" in example) == (
        "code" in example
    ):
        return "must have arguments and either output or code"
    if example.get("code") == "forbidden":
        return None  # of arguments that name a bound property, too
    code = example.get("code", _CODES[0])
    if code not in _CODES:
        return f"code {code} is none of {', '.join(_CODES)}"
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


_CHECKS: tuple[Callable[[Definition], Iterator[Mistake]], ...] = (
    _name,
    _limits,
    _shapes,
    _bind,
    _statement,
    _no_rows_message,
)
