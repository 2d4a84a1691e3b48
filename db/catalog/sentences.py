"""A broken rule of a schema as a sentence that says what to write instead."""

import difflib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from db.catalog.describe import FORMATS_IN_WORDS, described, example, in_words, listed, one_of
from db.catalog.reasons import reason

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
    must = f"must be {in_words(kinds)}"
    given = broken.given
    if given is None:
        return f"{must}, not null{_left_out(broken)}"
    text = given.strip() if isinstance(given, str) else None
    if text is not None:
        is_quoted = _is_quoted(text, kinds)
        if is_quoted:
            return f"{must}: leave out the quotes around it"
        if "array" in kinds:
            return f"{must}, even for one item: {_array_example(broken, root)}"
        if text == "" and broken.may_be_left_out:
            return f"{must}: leave it out if there is no value"
    if isinstance(given, int | float) and not isinstance(given, bool) and "string" in kinds:
        return f"{must}: put the number into quotes"
    if isinstance(given, bool) and "string" in kinds:
        return f"{must}: put true or false into quotes"
    if isinstance(given, float) and "integer" in kinds:
        return f"{must}, without a fraction"
    if isinstance(given, list) and "array" not in kinds:
        return f"{must}, not an array: give one value alone"
    if isinstance(given, dict) and "array" in kinds:
        return f"{must}, even for one item: put the object into [ ]"
    if isinstance(given, dict) and "object" not in kinds:
        return f"{must}, not an object{_for_example(broken, root)}"
    if "array" in kinds:
        return f"{must}, even for one item: {_array_example(broken, root)}"
    return f"{must}{_for_example(broken, root)}"


def _is_quoted(text: str, kinds: Sequence[str]) -> bool:
    """Whether a string holds JSON of a kind that was wanted without quotes."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
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
    return ": leave it out if there is no value" if broken.may_be_left_out else ""


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
    schema = broken.schema.get("properties", {}).get(broken.name)
    if schema is None:
        return "is required and missing"
    return f"is required and missing: give {described(schema, root)}"


def _additional(broken: Broken, root: Mapping[str, Any]) -> str:
    allowed = list(broken.schema.get("properties", {}))
    if not allowed:
        return "is not known: leave it out; there are no properties here"
    plain = {_plain(name): name for name in allowed}
    close = difflib.get_close_matches(_plain(broken.name[:_MAX_NAMES]), plain, n=1)
    # `given` is the object that holds the name
    inside = broken.given.get(broken.name) if isinstance(broken.given, dict) else None
    if isinstance(inside, dict) and set(inside) & set(allowed):
        return "is not known: put what is inside it one level up, and leave it out"
    if close and plain[close[0]] not in broken.given:
        hint = f": did you mean {plain[close[0]]}?"
    else:
        hint = ": leave it out"
    names = ", ".join(allowed[:_MAX_NAMES]) + (", …" if len(allowed) > _MAX_NAMES else "")
    return (
        f"is not known{hint} Known: {names}"
        if hint.endswith("?")
        else (f"is not known{hint}; known: {names}")
    )


def _pattern(broken: Broken, root: Mapping[str, Any]) -> str:
    must = f"must match the pattern {broken.wanted}"
    given = broken.given
    if given == "" and broken.may_be_left_out:
        return f"{must}: leave it out if there is no value"
    known = [*broken.schema.get("examples", ()), broken.schema.get("default")]
    fit = next((text for text in known if isinstance(text, str)), None)
    hint = f", for example {json.dumps(fit, ensure_ascii=False)}" if fit is not None else ""
    if given != given.strip():
        return f"{must}{hint}: leave out the spaces around it"
    return must + hint


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
    bound = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "more than",
        "exclusiveMaximum": "less than",
    }
    return f"must be {bound[broken.rule]} {broken.wanted}"


def _multiple(broken: Broken, root: Mapping[str, Any]) -> str:
    first, second = broken.wanted, broken.wanted * 2
    return f"must be a multiple of {broken.wanted}, for example {first} or {second}"


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
    needed = [
        f"{name} needs {', '.join(n for n in others if n not in broken.given)} beside it"
        for name, others in broken.wanted.items()
        if isinstance(others, list)
        and name in broken.given
        and any(n not in broken.given for n in others)
    ]
    return "; ".join(needed)


def _any_of(broken: Broken, root: Mapping[str, Any]) -> str:
    forms = [described(part, root) for part in broken.wanted]
    fitting = [form for form, wrong in zip(forms, broken.branches, strict=True) if not wrong]
    if broken.rule == "oneOf" and fitting:
        return f"fits more than one form and must fit one alone: {'; or '.join(fitting)}"
    if broken.given is None and broken.may_be_left_out:
        return f"must be {'; or '.join(forms)}: leave it out if there is no value"
    number = closest(broken.branches)
    if number is None:
        return f"must be {'; or '.join(forms)}"
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
