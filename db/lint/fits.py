"""Whether text that a schema lets through can be read as a Postgres type."""

from collections.abc import Mapping
from typing import Any

_TEXT = frozenset({"text", "character varying", "character", "name", "citext", '"char"', "unknown"})
_BY_FORMAT = {
    "date": ("date",),
    "date-time": ("timestamp with time zone", "timestamp without time zone"),
    "time": ("time with time zone", "time without time zone"),
    "uuid": ("uuid",),
    "ipv4": ("inet", "cidr"),
    "ipv6": ("inet", "cidr"),
}
_FORMATS = {kind: name for name, kinds in _BY_FORMAT.items() for kind in kinds}
_NUMBERS = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "number",
    "real": "number",
    "double precision": "number",
    "boolean": "boolean",
    "json": "object",
    "jsonb": "object",
}


def fits(schema: Mapping[str, Any], wanted: str) -> str | None:
    """
    What to change in the schema of a property whose text is read as *wanted*; None when it fits.

    Text with an `enum`, a `const` or a `pattern` is taken for written with the type in mind.
    """
    if wanted in _TEXT or {"enum", "const", "pattern"} & set(schema):
        return None
    kind = schema.get("type")
    if "string" not in (kind if isinstance(kind, list) else [kind]):
        return None
    given = str(schema.get("format"))
    if wanted in _BY_FORMAT.get(given, ()) or (given == "date" and wanted.startswith("timestamp")):
        return None
    if wanted in _FORMATS:
        return f'give it "format": "{_FORMATS[wanted]}", or text that is none is a failed query'
    if wanted in _NUMBERS:
        return f'make it "type": "{_NUMBERS[wanted]}", or text that is none is a failed query'
    return f'give it an "enum" or a "pattern" of what {wanted} takes'
