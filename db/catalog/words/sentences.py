"""Turn a broken rule of a schema into a sentence that states what to write instead."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from db.catalog.schema.equality import first_repeated
from db.catalog.schema.subschemas import resolved
from db.catalog.words.broken import LEAVE_OUT, Broken, left_out
from db.catalog.words.describe import FORMATS_IN_WORDS, described, known_text, listed, one_of
from db.catalog.words.format_mistakes import reason
from db.catalog.words.names import (
    MAX_NAMES,
    additional_sentence,
    dependencies_sentence,
    letters_of,
    required_sentence,
)
from db.catalog.words.wrong_types import form, type_sentence


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


def _enum(broken: Broken, root: Mapping[str, Any]) -> str:
    must = f"must be {one_of(broken.wanted)}"
    given = broken.given
    if given is None:
        return f"{must}, not null{left_out(broken)}"
    if isinstance(given, list) and len(given) == 1 and given[0] in broken.wanted:
        return f"{must}, not an array: leave out the [ ]"
    if isinstance(given, str):
        alike = {str(value).casefold(): value for value in broken.wanted}
        close = difflib.get_close_matches(
            letters_of(given), [letters_of(text) for text in alike], n=1
        )
        names = {letters_of(text): value for text, value in alike.items()}
        if given == "" and broken.may_be_left_out:
            return must + LEAVE_OUT
        if close and len(given) <= MAX_NAMES:
            value = names[close[0]]
            return f"{must}; did you mean {json.dumps(value, ensure_ascii=False)}?"
    return must


def _const(broken: Broken, root: Mapping[str, Any]) -> str:
    must = f"must be {json.dumps(broken.wanted, ensure_ascii=False)}"
    return f"{must}, not null{left_out(broken)}" if broken.given is None else must


def _pattern(broken: Broken, root: Mapping[str, Any]) -> str:
    must = f"must match the pattern {broken.wanted}"
    given = broken.given
    if given == "" and broken.may_be_left_out:
        return must + LEAVE_OUT
    must += known_text(broken.schema)
    return f"{must}: leave out the spaces around it" if given != given.strip() else must


def _format(broken: Broken, root: Mapping[str, Any]) -> str:
    words = FORMATS_IN_WORDS.get(broken.wanted, f"in the format {broken.wanted}")
    if broken.given == "" and broken.may_be_left_out:
        return f"must be {words}{LEAVE_OUT}"
    found = reason(broken.wanted, broken.given)
    return f"must be {words}{f': {found}' if found else ''}"


def _length(unit: str) -> Any:
    def words(broken: Broken, root: Mapping[str, Any]) -> str:
        is_least = broken.rule.startswith("min")
        has = f"it has {len(broken.given)}"
        if is_least and not broken.given:
            has = f"it is empty{left_out(broken)}"
        bound = "at least" if is_least else "at most"
        return f"must have {bound} {listed(broken.wanted, unit)}; {has}"

    return words


def _bound(broken: Broken, root: Mapping[str, Any]) -> str:
    least, most = broken.schema.get("minimum"), broken.schema.get("maximum")
    if least is not None and most is not None:
        return f"must be from {least} to {most}"
    return f"must be {_BOUNDS[broken.rule]} {broken.wanted}"


_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}


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


def _any_of(broken: Broken, root: Mapping[str, Any]) -> str:
    forms = [described(part, root) for part in broken.wanted]
    # of an anyOf inside another one no branches are known: a sentence must end
    fitting = [form for form, wrong in zip(forms, broken.branches, strict=False) if not wrong]
    if broken.rule == "oneOf" and fitting:
        return f"fits more than one form and must fit one alone: {'; or '.join(fitting)}"
    must = f"must be {'; or '.join(forms)}"
    kinds = {str(resolved(part, root).get("type")) for part in broken.wanted}
    hint = form(broken.given, sorted(kinds - {"string"}), {}, is_optional=broken.may_be_left_out)
    is_of_one_kind = len(kinds) == 1 and "string" not in kinds
    if hint and (is_of_one_kind or broken.given is None or ": leave out" in hint):
        return must + hint
    number = closest(broken.branches)
    if number is None:
        return must
    wrong = broken.branches[number]
    problems = "; ".join(_inside(part, root) for part in wrong[:5])
    return f"{must}. It is closest to the {_ORDER[min(number, 9)]}: {problems}"


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
    """Another type is farthest; then another value of the discriminator; then the rest."""
    if any(part.rule in ("type", "enum", "const", "not") and not part.path for part in wrong):
        return 2, len(wrong)
    tells_apart = any(part.rule in ("const", "enum") for part in wrong)
    return int(tells_apart), len(wrong)


_ORDER = [
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
]


_WORDS: dict[str, Any] = {
    "type": type_sentence,
    "enum": _enum,
    "const": _const,
    "required": required_sentence,
    "additionalProperties": additional_sentence,
    "pattern": _pattern,
    "format": _format,
    **dict.fromkeys(("minLength", "maxLength"), _length("character")),
    **dict.fromkeys(("minItems", "maxItems"), _length("item")),
    **dict.fromkeys(("minProperties", "maxProperties"), _length("property")),
    **dict.fromkeys(_BOUNDS, _bound),
    "multipleOf": _multiple,
    "uniqueItems": _unique,
    "contains": _contains,
    "not": _not,
    "dependencies": dependencies_sentence,
    "anyOf": _any_of,
    "oneOf": _any_of,
}
