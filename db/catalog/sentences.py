"""A broken rule of a schema as a sentence that says what to write instead."""

import difflib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from db.catalog.describe import (
    FORMATS_IN_WORDS,
    described,
    example,
    in_words,
    known_text,
    listed,
    one_of,
)
from db.catalog.reasons import reason
from db.catalog.subschemas import resolved

_MAX_NAMES = 50
"""Names of an object that a sentence lists."""


@dataclass(frozen=True)
class Broken:
    """
    A rule of a schema that a value breaks.

    `wanted` is the keyword's value, `schema` what holds it; `name` is the last part of the value's
    path and `may_be_left_out` whether its object need not have it. `branches` has for each schema
    of an `anyOf` or `oneOf` what of it is broken, each with its `path` from the value.
    """

    rule: str
    wanted: Any
    given: Any
    schema: Mapping[str, Any]
    name: str = ""
    may_be_left_out: bool = False
    branches: Sequence[Sequence["Broken"]] = field(default=())
    path: str = ""


def sentence(broken: Broken, root: Mapping[str, Any]) -> str:
    """
    What is wrong and what to write instead; the path before it names the value.

    Args:
        root: The schema that references in it lead into.
    """
    words = _WORDS.get(broken.rule)
    if words is None:  # the schema `false`
        return "must be left out"
    return str(words(broken, root))


def first_repeated(items: Sequence[Any]) -> tuple[int, int] | None:
    """The indexes of the first two equal items, as JSON Schema compares; None when all differ."""
    seen: dict[Hashable, int] = {}
    for number, item in enumerate(items):
        first = seen.setdefault(_comparable(item), number)
        if first != number:
            return first, number
    return None


def _comparable(value: Any) -> Hashable:
    """Equal for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return ("object", frozenset((name, _comparable(part)) for name, part in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_comparable, value)))
    return (isinstance(value, bool), value)


def _type(broken: Broken, root: Mapping[str, Any]) -> str:
    kinds = broken.wanted if isinstance(broken.wanted, list) else [broken.wanted]
    whole = described(broken.schema, root)
    given = broken.given
    if isinstance(given, str) and "array" in kinds and not _is_quoted(given, kinds):
        return f"must be {whole}, even if it is one item: {_array_example(broken, root)}"
    hint = _form(given, kinds, broken.schema, is_optional=broken.may_be_left_out)
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


def _form(given: Any, kinds: Sequence[str], schema: Mapping[str, Any], *, is_optional: bool) -> str:
    """What to change in how a value is written, when it is another type that is nearly right."""
    if given is None:
        return ", not null" + (_LEAVE_OUT if is_optional else "")
    if isinstance(given, str):
        if _is_quoted(given.strip(), kinds):
            return ": leave out the quotes around it"
        if given.strip() == "" and is_optional:
            return _LEAVE_OUT
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


_NUMERIC = {"integer", "number"}
_LEAVE_OUT = ": leave it out if there is no value"


def _read(text: str) -> Any:
    """What a string holds as JSON; None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_quoted(text: str, kinds: Sequence[str]) -> bool:
    """Whether a string holds JSON of a kind that was wanted without quotes."""
    value = _read(text)
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


def _left_out(broken: Broken) -> str:
    return _LEAVE_OUT if broken.may_be_left_out else ""


def _enum(broken: Broken, root: Mapping[str, Any]) -> str:
    must = f"must be {one_of(broken.wanted)}"
    given = broken.given
    if given is None:
        return f"{must}, not null{_left_out(broken)}"
    if isinstance(given, list) and len(given) == 1 and given[0] in broken.wanted:
        return f"{must}, not an array: leave out the [ ]"
    if isinstance(given, str):
        alike = {str(value).casefold(): value for value in broken.wanted}
        plain = _plain(given)
        close = difflib.get_close_matches(plain, [_plain(text) for text in alike], n=1)
        names = {_plain(text): value for text, value in alike.items()}
        if given == "" and broken.may_be_left_out:
            return f"{must}: leave it out if there is no value"
        if close and len(given) <= _MAX_NAMES:
            value = names[close[0]]
            return f"{must}; did you mean {json.dumps(value, ensure_ascii=False)}?"
    return must


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _const(broken: Broken, root: Mapping[str, Any]) -> str:
    return f"must be {json.dumps(broken.wanted, ensure_ascii=False)}{_left_out_if_null(broken)}"


def _left_out_if_null(broken: Broken) -> str:
    return f", not null{_left_out(broken)}" if broken.given is None else ""


def _required(broken: Broken, root: Mapping[str, Any]) -> str:
    # in `then` and its like, names alone are given
    schema = {**root.get("properties", {}), **broken.schema.get("properties", {})}.get(broken.name)
    if schema is None:
        return "is required and missing"
    return f"is required and missing: give {described(schema, root)}"


def _additional(broken: Broken, root: Mapping[str, Any]) -> str:
    properties = broken.schema.get("properties", {})
    if not properties:
        return "is not known: leave it out; there are no properties here"
    # `given` is the object that holds the name
    inside = broken.given.get(broken.name) if isinstance(broken.given, dict) else None
    if isinstance(inside, str):
        inside = _read(inside)
    if isinstance(inside, dict) and set(inside) & set(properties):
        return f"is not known: put what is inside it one level up, and leave {broken.name[:50]} out"
    names = ", ".join([*properties][:_MAX_NAMES]) + (", …" if len(properties) > _MAX_NAMES else "")
    for name, part in properties.items():
        if name not in broken.given and broken.name in _names_inside(part, root):
            return f"is not known here: put it into {name} (known: {names})"
    close = _close(broken.name[:_MAX_NAMES], [n for n in properties if n not in broken.given])
    if close:
        return f"is not known: did you mean {close}? (known: {names})"
    return f"is not known: leave it out (known: {names})"


def _names_inside(schema: Any, root: Mapping[str, Any]) -> set[str]:
    found = resolved(schema, root)
    parts = [found, *found.get("anyOf", ()), *found.get("oneOf", ())]
    return {name for part in parts for name in resolved(part, root).get("properties", ())}


def _close(name: str, known: Sequence[str]) -> str | None:
    """The known name that is spelt nearly like *name*, holds it, or that it abbreviates."""
    plain = {_plain(one): one for one in known}
    wanted = _plain(name)
    if len(wanted) >= 3:
        holding = [one for one in plain if len(one) >= 3 and (one in wanted or wanted in one)]
        short = [one for one in plain if one[:1] == wanted[:1] and _abbreviates(wanted, one)]
        for found in (holding, short):
            if len(found) == 1:
                return plain[found[0]]
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else None


def _abbreviates(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


def _pattern(broken: Broken, root: Mapping[str, Any]) -> str:
    must = f"must match the pattern {broken.wanted}"
    given = broken.given
    if given == "" and broken.may_be_left_out:
        return f"{must}: leave it out if there is no value"
    must += known_text(broken.schema)
    return f"{must}: leave out the spaces around it" if given != given.strip() else must


def _format(broken: Broken, root: Mapping[str, Any]) -> str:
    words = FORMATS_IN_WORDS.get(broken.wanted, f"in the format {broken.wanted}")
    if broken.given == "" and broken.may_be_left_out:
        return f"must be {words}: leave it out if there is no value"
    found = reason(broken.wanted, broken.given)
    return f"must be {words}{f': {found}' if found else ''}"


def _length(least: str, most: str, unit: str) -> Any:
    def words(broken: Broken, root: Mapping[str, Any]) -> str:
        has = f"it has {len(broken.given)}"
        if broken.rule == least and not broken.given:
            has = "it is empty"
            if broken.may_be_left_out:
                has += ": leave it out if there is no value"
        bound = "at least" if broken.rule == least else "at most"
        return f"must have {bound} {listed(broken.wanted, unit)}; {has}"

    return words


def _bound(broken: Broken, root: Mapping[str, Any]) -> str:
    least, most = broken.schema.get("minimum"), broken.schema.get("maximum")
    if least is not None and most is not None:
        return f"must be from {least} to {most}"
    bound = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "more than",
        "exclusiveMaximum": "less than",
    }
    return f"must be {bound[broken.rule]} {broken.wanted}"


def _multiple(broken: Broken, root: Mapping[str, Any]) -> str:
    step = broken.wanted
    return f"must be a multiple of {step}, for example {step} or {step * 2 if step < 1e300 else 0}"


def _unique(broken: Broken, root: Mapping[str, Any]) -> str:
    first, second = first_repeated(broken.given) or (0, 1)
    return f"must not hold the same item twice: items {first} and {second} are equal, leave one out"


def _contains(broken: Broken, root: Mapping[str, Any]) -> str:
    return f"must hold at least one item that is {described(broken.wanted, root)}"


def _not(broken: Broken, root: Mapping[str, Any]) -> str:
    if not broken.wanted:  # the schema `false`
        return "must be left out"
    return f"must not be {described(broken.wanted, root)}"


def _dependencies(broken: Broken, root: Mapping[str, Any]) -> str:
    properties = {**root.get("properties", {}), **broken.schema.get("properties", {})}
    needed = [
        f"{name} needs {other} beside it: give {described(properties.get(other, True), root)}"
        for name, others in broken.wanted.items()
        if isinstance(others, list) and name in broken.given
        for other in others
        if other not in broken.given
    ]
    return "; ".join(needed)


def _any_of(broken: Broken, root: Mapping[str, Any]) -> str:
    forms = [described(part, root) for part in broken.wanted]
    # of an anyOf inside another one no branches are known: a sentence must end
    fitting = [form for form, wrong in zip(forms, broken.branches, strict=False) if not wrong]
    if broken.rule == "oneOf" and fitting:
        return f"fits more than one form and must fit one alone: {'; or '.join(fitting)}"
    must = f"must be {'; or '.join(forms)}"
    kinds = {str(resolved(part, root).get("type")) for part in broken.wanted}
    hint = _form(broken.given, sorted(kinds - {"string"}), {}, is_optional=broken.may_be_left_out)
    is_of_one_kind = len(kinds) == 1 and "string" not in kinds
    if hint and (is_of_one_kind or broken.given is None or ": leave out" in hint):
        return must + hint
    number = closest(broken.branches)
    if number is None:
        return must
    wrong = broken.branches[number]
    problems = "; ".join(_inside(part, root) for part in wrong[:5])
    return (
        f"must be {'; or '.join(forms)}. It is closest to the {_ORDER[min(number, 9)]}: {problems}"
    )


def _inside(broken: Broken, root: Mapping[str, Any]) -> str:
    words = sentence(broken, root)
    return f"{broken.path} {words}" if broken.path else f"it {words}"


def closest(branches: Sequence[Sequence[Broken]]) -> int | None:
    """The branch that least is wrong with; None when each is of another type or all are alike."""
    ranked = sorted((_distance(wrong), number) for number, wrong in enumerate(branches))
    if not ranked or ranked[0][0][0] >= 2:
        return None
    if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
        return None
    return ranked[0][1]


def _distance(wrong: Sequence[Broken]) -> tuple[int, int]:
    """Another type is farthest; then another value of what tells the forms apart; then the rest."""
    if any(part.rule in ("type", "enum", "const", "not") and not part.path for part in wrong):
        return 2, len(wrong)
    tells_apart = any(part.rule in ("const", "enum") for part in wrong)
    return int(tells_apart), len(wrong)


_ORDER = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "last",
)
_WORDS: dict[str, Any] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "additionalProperties": _additional,
    "pattern": _pattern,
    "format": _format,
    "minLength": _length("minLength", "maxLength", "character"),
    "maxLength": _length("minLength", "maxLength", "character"),
    "minItems": _length("minItems", "maxItems", "item"),
    "maxItems": _length("minItems", "maxItems", "item"),
    "minProperties": _length("minProperties", "maxProperties", "property"),
    "maxProperties": _length("minProperties", "maxProperties", "property"),
    "minimum": _bound,
    "maximum": _bound,
    "exclusiveMinimum": _bound,
    "exclusiveMaximum": _bound,
    "multipleOf": _multiple,
    "uniqueItems": _unique,
    "contains": _contains,
    "not": _not,
    "dependencies": _dependencies,
    "anyOf": _any_of,
    "oneOf": _any_of,
}
