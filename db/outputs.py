"""Tool outputs: the JSON string of rows, of a message or of an error."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from db.errors import ToolError

# A Decimal goes through json as a string with this mark, and loses mark and quotes afterwards:
# json has no other way to write a number with all its digits. Text in a `json` column may hold any
# character, also a NUL, so the mark is random.
_MARK = f"\x00{secrets.token_hex(8)}"
_MARKED = re.compile(rf'"\\u0000{_MARK[1:]}(-?\d+(?:\.\d+)?(?:E[+-]\d+)?)"')


def error_output(error: ToolError) -> str:
    """The error output of *error*, a JSON string."""
    value: dict[str, Any] = {
        "error": str(error),
        "code": error.code,
        "retryable": error.retryable,
    }
    if error.violations:
        value["violations"] = list(error.violations)
    return dump(value)


def rows_output(
    rows: Sequence[Mapping[str, Any]], *, max_rows: int, max_bytes: int, is_cut: bool = False
) -> str:
    """
    `{"items": […], "total": n}`, with `"truncated": true` only when something was cut.

    Args:
        rows: At most one more than *max_rows*; the one more shows that there are more.

        max_bytes: Of the output; whole rows are cut from the end until it fits.

        is_cut: Whether there are rows that were not even read.

    Raises:
        ToolError: `too_large`, when a single row does not fit.
    """
    items = [dump(row) for row in rows[:max_rows]]
    is_cut = is_cut or len(rows) > max_rows
    frame_bytes = len('{"items":[],"total":,"truncated":true}') + len(str(max_rows))
    size, kept = frame_bytes, 0
    for item in items:
        size += len(item.encode()) + 1
        if size > max_bytes + 1:  # the last item has no comma behind it
            is_cut = True
            break
        kept += 1
    if items and not kept:
        raise ToolError(
            "too_large",
            "One row alone is larger than this tool may answer. Ask for something narrower.",
        )
    end = ',"truncated":true}' if is_cut else "}"
    return f'{{"items":[{",".join(items[:kept])}],"total":{kept}{end}'


def fit(outputs: Sequence[str], limit: int) -> list[str]:
    """
    The outputs in their order, the largest cut until all together fit.

    Args:
        limit: Bytes of all of them as JSON strings in UTF-8, quotes included: what they take in a
            submission.
    """
    fitting = list(outputs)
    sizes = [_string_bytes(output) for output in fitting]
    while (excess := sum(sizes) - limit) > 0:
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        # at most a half at a time, so that two large ones are cut alike
        fitting[largest] = _cut(fitting[largest], max(sizes[largest] - excess, sizes[largest] // 2))
        if _string_bytes(fitting[largest]) >= sizes[largest]:
            break  # nothing more can go: error outputs alone exceed the limit
        sizes[largest] = _string_bytes(fitting[largest])
    return fitting


def _cut(output: str, allowed: int) -> str:
    """*output* with rows left out from its end, or an error when it has none to leave out."""
    value = json.loads(output, parse_float=Decimal)
    items = value.get("items") if isinstance(value, dict) else None
    if not isinstance(items, list):
        return error_output(_TOO_LARGE)
    sizes = [_string_bytes(dump(item)) for item in items]
    left = allowed - _string_bytes('{"items":[],"total":10000,"truncated":true}')
    kept = 0
    for size in sizes:
        left -= size - 1  # a comma for two quotes
        if left < 0:
            break
        kept += 1
    if not kept:
        return error_output(_TOO_LARGE)
    return dump({"items": items[:kept], "total": kept, "truncated": True})


def _string_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


def message_output(message: str) -> str:
    """`{"message": …}`, for a question that has no rows."""
    return dump({"message": message})


def dump(value: Any) -> str:
    """Compact JSON; NaN and infinity become null, a Decimal keeps all its digits."""
    try:
        text = json.dumps(
            value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_mark
        )
    except ValueError:  # a float that JSON does not know
        return dump(_without_nan(value))
    # text from a `json` column may hold half a surrogate pair, which no UTF-8 can carry
    text = text.encode("utf-8", "replace").decode()
    return _MARKED.sub(r"\1", text)


def _mark(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{_MARK}{value}" if value.is_finite() else str(value)
    return str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return value


_TOO_LARGE = ToolError(
    "too_large",
    "The answers of this run are too large together. Ask for less, or for one thing at a time.",
)
