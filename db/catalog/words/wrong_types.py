"""Error sentences about a value of the wrong type: quotes around a number, a lone value, null."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from db.catalog.words.broken import LEAVE_OUT, Broken
from db.catalog.words.describe import described, example, in_words

_NUMERIC = {"integer", "number"}


def type_sentence(broken: Broken, root: Mapping[str, Any]) -> str:
    kinds = broken.wanted if isinstance(broken.wanted, list) else [broken.wanted]
    whole = described(broken.schema, root)
    given = broken.given
    if isinstance(given, str) and "array" in kinds and not _is_quoted(given, kinds):
        return f"must be {whole}, even if it is one item: {_array_example(broken, root)}"
    hint = form(given, kinds, broken.schema, is_optional=broken.may_be_left_out)
    if hint:
        return f"must be {whole}{hint}"
    if isinstance(given, dict | list) or kinds in (["boolean"], ["null"]):
        return f"must be {whole}, not {_kind_of(given)}"
    is_plain = whole in (in_words(kinds), f"{in_words(kinds)} with")
    return f"must be {whole}{_for_example(broken, root) if is_plain or 'object' in kinds else ''}"


def _kind_of(given: Any) -> str:
    if isinstance(given, bool):
        return "true or false"
    if isinstance(given, int | float):
        return "a number"
    kinds = {str: "text in quotes", list: "an array", type(None): "null"}
    return kinds.get(type(given), "an object")


def form(given: Any, kinds: Sequence[str], schema: Mapping[str, Any], *, is_optional: bool) -> str:
    """What to change in how a value is written, when it is another type that is nearly right."""
    if given is None:
        return ", not null" + (LEAVE_OUT if is_optional else "")
    if isinstance(given, str):
        if _is_quoted(given.strip(), kinds):
            return ": leave out the quotes around it"
        if given.strip() == "" and is_optional:
            return LEAVE_OUT
        return ", without quotes or other letters" if _NUMERIC & {*kinds} else ""
    is_free = not {"format", "pattern", "enum"} & set(schema)
    if isinstance(given, bool | int | float) and "string" in kinds:
        return ": put it into quotes" if is_free else f", in quotes, not {_kind_of(given)}"
    if isinstance(given, float) and "integer" in kinds:
        return ", without a fraction"
    if isinstance(given, list) and "array" not in kinds and len(given) == 1:
        return ", not an array: leave out the [ ] around it"
    if isinstance(given, list) and "array" not in kinds:
        return ", not an array: give one of them, and call the tool once for each"
    if isinstance(given, dict) and "array" in kinds:
        return ", even if it is one item: put the object into [ ]"
    return ""


def read_json(text: str) -> Any:
    """What a string holds as JSON; None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_quoted(text: str, kinds: Sequence[str]) -> bool:
    """Whether a string holds JSON of a kind that was wanted without quotes."""
    value = read_json(text)
    kind = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    found = kind.get(type(value), "string")
    return found in kinds or (found == "integer" and "number" in kinds)


def _array_example(broken: Broken, root: Mapping[str, Any]) -> str:
    items = broken.schema.get("items", {})
    return json.dumps([example(items if isinstance(items, dict) else {}, root)], ensure_ascii=False)


def _for_example(broken: Broken, root: Mapping[str, Any]) -> str:
    kinds = broken.wanted if isinstance(broken.wanted, list) else [broken.wanted]
    if kinds in (["boolean"], ["null"]):
        return ""
    return f", for example {json.dumps(example(broken.schema, root), ensure_ascii=False)}"
