"""Advice for a value that Postgres refused: what to change in the tool folder."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BY_FORMAT = {
    "date": "date",
    "timestamp with time zone": "date-time",
    "timestamp without time zone": "date-time",
    "timestamp": "date-time",
    "time with time zone": "time",
    "time without time zone": "time",
    "time": "time",
    "uuid": "uuid",
    "inet": "ipv4",
    "cidr": "ipv4",
}
_NUMBERS = {
    **dict.fromkeys(("smallint", "integer", "bigint", "oid"), "integer"),
    **dict.fromkeys(("numeric", "real", "double precision", "money"), "number"),
    "boolean": "boolean",
    **dict.fromkeys(("json", "jsonb"), "object"),
}
_RANGES = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_CASTS = {"integer": "bigint", "number": "numeric", "boolean": "boolean", "object": "jsonb"}
_FORMAT_CASTS = {"date": "date", "date-time": "timestamptz", "time": "timetz", "uuid": "uuid"}
_SPELLED = {"int2": "smallint", "int4": "integer", "int8": "bigint", "bool": "boolean"}


def for_value(sqlstate: str, message: str, name: str, value: Any, schema: Mapping[str, Any]) -> str:
    """
    What to write when the statement fails with *value* for the property *name*; "" if unknown.

    Args:
        message: The server's own, in English.

        schema: Of the property, its references followed.
    """
    kinds = schema.get("type")
    if sqlstate == "42601":  # of a text that a function reads, not of the statement
        return _SYNTAX["tsquery" in message]
    if sqlstate in _FIXED:
        return _FIXED[sqlstate].replace("NAME", name)
    if sqlstate in ("42725", "42P18", "42883", "42846", "42804") and isinstance(value, list):
        return f"write %({name})s::{cast_of(schema)}"
    wanted = _type_in(message)
    if sqlstate == "22003":
        return _range(wanted)
    if sqlstate in ("22P02", "22007", "22008"):
        if isinstance(value, int | float):
            return _range("")
        if isinstance(value, list) and _has_items(schema, _NUMBERS.get(wanted, "string")):
            return 'give its items a "minimum" and a "maximum", an "enum" or a "pattern"'
        if isinstance(value, list):
            return f'give its items "type": {json.dumps(_NUMBERS.get(wanted, "string"))}'
        return _fitting(wanted, schema)
    if sqlstate in ("42883", "42804", "42846") and (not kinds or isinstance(kinds, list)):
        return 'give it one "type", that of what it is compared with'
    if sqlstate in ("42883", "42804", "42846") and value is not None:
        return f"write %({name})s::TYPE with the type that is wanted there"
    return ""


def for_enum(type_name: str, labels: Sequence[str]) -> str:
    """What to write when text is no label of an enum type."""
    listed = ", ".join(json.dumps(label, ensure_ascii=False) for label in labels)
    return f'{type_name} has {listed}: give "enum" these'


def cast_of(schema: Mapping[str, Any]) -> str:
    """The Postgres type that values of a property are best cast to."""
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "array" in kinds:
        items = schema.get("items")
        return f"{cast_of(items if isinstance(items, dict) else {})}[]"
    if "string" in kinds:
        return _FORMAT_CASTS.get(str(schema.get("format")), "text")
    return next((_CASTS[k] for k in kinds if k in _CASTS), "text")


def _fitting(wanted: str, schema: Mapping[str, Any]) -> str:
    if "date/time" in wanted and "format" not in schema:
        return 'give it "format": "date" or "date-time"'
    if wanted in _BY_FORMAT:
        return f'give it "format": "{_BY_FORMAT[wanted]}"'
    if wanted in _NUMBERS:
        return f'make it "type": "{_NUMBERS[wanted]}"'
    return 'give it an "enum" or a "pattern" of what is taken there'


def _has_items(schema: Mapping[str, Any], kind: str) -> bool:
    items = schema.get("items")
    return isinstance(items, Mapping) and items.get("type") in (kind, "array")


def _range(wanted: str) -> str:
    least, most = _RANGES.get(wanted, (None, None))
    if least is None:
        return 'give it a "minimum" and a "maximum"'
    return f'give it "minimum": {least} and "maximum": {most}'


def _type_in(message: str) -> str:
    found = re.search(r"type ([a-z0-9 ]+?)(?::|$)", message)
    name = found[1].strip() if found else message.removesuffix(" out of range")
    return _SPELLED.get(name, name)


_SYNTAX = {
    True: "text that is no tsquery fails; write websearch_to_tsquery()",
    False: 'text without the syntax that is read there fails; give it an "enum" or a "pattern"',
}
_FIXED = {
    "2201W": 'LIMIT takes no number below 0; give it "minimum": 0',
    "2201X": 'OFFSET takes no number below 0; give it "minimum": 0',
    "22012": "it divides by zero; write NULLIF(%(NAME)s, 0)",
    "2201B": "text that is no regular expression fails; compare with LIKE or position(), "
    'or give it a "pattern"',
    "22025": "a backslash at its end fails in LIKE; write LIKE … ESCAPE ''",
    "22P05": 'the database\'s encoding has no such character; give it a "pattern" of those it has',
    "2201F": 'no such number has a root; give it "minimum": 0',
    "54000": 'give it a smaller "maximum"',
    "2202H": 'give it "minimum": 0 and "maximum": 100',
    "23514": "the domain that it is cast to takes no such value; bound it alike",
    "2201E": 'no such number has a logarithm; give it "exclusiveMinimum": 0',
    "22023": 'give it an "enum" or bounds of what the function takes',
    "22011": 'no text has a part of negative length; give it "minimum": 0',
    "2202E": "arrays in it differ in length, or are no arrays; let it have simple items",
}
