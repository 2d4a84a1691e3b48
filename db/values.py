"""Values across the border: arguments as Postgres takes them, columns as JSON has them."""

import json
import re
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.types.json import Jsonb, set_json_loads


def bound(value: Any) -> Any:
    """An object is bound as jsonb, an array as one of a single type, all else as psycopg does."""
    if isinstance(value, dict):
        return Jsonb(value)
    if isinstance(value, list):
        # psycopg takes no list of integers and floats; numeric is what both fit into
        has_float = any(isinstance(part, float) for part in value)
        return [_element(part, has_float=has_float) for part in value]
    return value


def _element(value: Any, *, has_float: bool) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Decimal(str(value)) if has_float and is_number else bound(value)


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
