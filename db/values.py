"""Convert JSON arguments to Postgres parameters, and Postgres columns to JSON."""

import json
import re
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.types.json import Jsonb, set_json_loads

from db.numbers import ExactFloat, LargeInteger
from db.outputs import dump

LARGEST_BIGINT = 2**63 - 1


def bound(value: Any) -> Any:
    """
    A value as psycopg takes it: an object as jsonb, an array as one of a single type.

    A fraction is a numeric, with all its digits. An integer beyond a bigint goes as text of no
    type, so that the statement decides its type: as a numeric, it would turn the column that it is
    compared with into one, and no index of a bigint would be used.
    """
    if isinstance(value, dict):
        return Jsonb(exact(value), dumps=dump)
    if isinstance(value, list):
        return _array(value)
    if isinstance(value, ExactFloat):
        return value.decimal
    if is_beyond_bigint(value):
        return str(value)
    # a list of both int and its subclass would be a mixture to psycopg
    return int(value) if isinstance(value, LargeInteger) else value


def setting_text(value: Any) -> str:
    """A bound value as the text of a setting: `true`, `42`, or the text itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def is_beyond_bigint(value: Any) -> bool:
    """Whether a value is an integer that no bigint can be."""
    return isinstance(value, int) and not -LARGEST_BIGINT - 1 <= value <= LARGEST_BIGINT


def _array(values: list[Any]) -> Any:
    # psycopg takes no list of integers and floats; numeric is what both fit into
    if any(isinstance(part, float) for part in values):
        return [Decimal(repr(part)) if _is_number(part) else bound(part) for part in values]
    if any(map(is_beyond_bigint, values)) and all(p is None or _is_number(p) for p in values):
        return "{" + ",".join("NULL" if part is None else str(part) for part in values) + "}"
    return [bound(part) for part in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def exact(value: Any) -> Any:
    """*value* with its fractions as Decimals, which keep their digits in JSON."""
    if isinstance(value, ExactFloat):
        return value.decimal
    if isinstance(value, dict):
        return {name: exact(part) for name, part in value.items()}
    if isinstance(value, list):
        return [exact(part) for part in value]
    return value


def configure(connection: psycopg.Connection[Any]) -> None:
    """Give values in the form `docs/tools.md` describes, whatever Python could make of them."""
    adapters = connection.adapters
    for name in _AS_PRINTED:
        adapters.register_loader(name, _Text)
    for name in ("timestamp", "timestamptz", "time", "timetz"):
        adapters.register_loader(name, _Iso)
    adapters.register_loader("numeric", _Number)
    adapters.register_loader("bytea", _Bytes)
    set_json_loads(_json, connection)


class _Text(Loader):
    """What Postgres prints, as text."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "replace")


class _Iso(_Text):
    """A timestamp as ISO 8601 has it: a T between date and time, minutes in the offset."""

    def load(self, data: Any) -> str:
        text = super().load(data).replace(" ", "T", 1)
        return _SHORT_OFFSET.sub(r"\1:00", text)


class _Number(_Text):
    """A numeric with all its digits; NaN and infinity as text."""

    def load(self, data: Any) -> Any:
        return Decimal(super().load(data))


class _Bytes(Loader):
    """A bytea as the hexadecimal digits that Postgres prints, without the mark before them."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().removeprefix("\\x")


_SHORT_OFFSET = re.compile(r"([+-]\d\d)(?= BC$|$)")
_AS_PRINTED = (
    "date", "interval", "uuid", "inet", "cidr", "money",
    "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange",
    "int4multirange", "int8multirange", "nummultirange", "datemultirange",
    "tsmultirange", "tstzmultirange", "record",
)  # fmt: skip


def _json(text: str | bytes) -> Any:
    # Decimals keep their digits; int refuses more than 4300 of them, which Postgres does not
    return json.loads(text, parse_float=Decimal, parse_int=_integer)


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < 1000 else Decimal(text)
