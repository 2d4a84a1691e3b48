"""Find schemas that recur in two places at once, where each level of a value doubles the work."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from db.catalog.schema.subschemas import on_same_value, parts, target, walk

_OF_ITEMS = ("items", "additionalItems", "contains")
_OF_NAMES = ("additionalProperties", "patternProperties")


class _Step(NamedTuple):
    """Step from a schema to the schema of an item ("[]"), of a name, or of any name ("*")."""

    holder: Mapping[str, Any]
    part: str
    schema: Any


def doubling(root: Mapping[str, Any]) -> Iterator[str]:
    """
    Where a part of a value is judged by two schemas that both lead back to where they began.

    A value 64 levels deep would be judged 2 ** 64 times. Two that exclude each other at first sight
    are fine: by `type`, or by a required property with another `const` or `enum`, named first.

    Returns:
        JSON pointers.
    """
    reached: dict[int, set[int]] = {}
    for pointer, schema in walk(root):
        steps = [step for holder in _judging(schema, root) for step in _steps(holder)]
        recurring = [step for step in steps if id(schema) in _reachable(step.schema, root, reached)]
        for first, second in combinations(recurring, 2):
            if _overlap(first, second) and not _exclude(first, second):
                yield pointer
                break


def _judging(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All schemas that judge the same value as *schema*, itself included; twice if they do."""
    waiting, seen = [schema], 0
    while waiting and seen < 200:
        found = waiting.pop()
        seen += 1
        if isinstance(found, Mapping):
            yield found
            waiting += on_same_value(found, root)


def _steps(schema: Mapping[str, Any]) -> Iterator[_Step]:
    if "$ref" in schema:
        return
    for at, inside in parts(schema):
        key, _, name = at.partition("/")
        if key in _OF_ITEMS:
            yield _Step(schema, "[]", inside)
        elif key == "properties":
            yield _Step(schema, name, inside)
        elif key in _OF_NAMES:
            yield _Step(schema, "*", inside)


def _reachable(schema: Any, root: Mapping[str, Any], reached: dict[int, set[int]]) -> set[int]:
    """The schemas that a schema leads to, whichever part of a value they judge."""
    if not isinstance(schema, Mapping):
        return set()
    if id(schema) not in reached:
        found: set[int] = set()
        waiting: list[Any] = [schema]
        while waiting:
            one = waiting.pop()
            if not isinstance(one, Mapping) or id(one) in found:
                continue
            found.add(id(one))
            if isinstance(one.get("$ref"), str):
                try:
                    waiting.append(target(one["$ref"], root))
                except LookupError:
                    continue
            else:
                waiting += [part for at, part in parts(one) if not at.startswith("definitions/")]
        reached[id(schema)] = found
    return reached[id(schema)]


def _overlap(first: _Step, second: _Step) -> bool:
    if first.part == second.part:
        # the schemas of a list of items judge different ones
        return first.part != "[]" or first.holder is not second.holder
    names = {first.part, second.part}
    return "*" in names and "[]" not in names and first.holder is not second.holder


def _exclude(first: _Step, second: _Step) -> bool:
    kinds = [_kinds(step.holder) for step in (first, second)]
    if all(kinds) and not kinds[0] & kinds[1]:
        return True
    values = [_discriminators(step) for step in (first, second)]
    return any(
        not values[0][name] & values[1][name] for name in values[0].keys() & values[1].keys()
    )


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    kinds = schema.get("type", ())
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _discriminators(step: _Step) -> dict[str, set[str]]:
    """The values of required properties that are judged before the step is taken."""
    found: dict[str, set[str]] = {}
    for name, schema in step.holder.get("properties", {}).items():
        if name == step.part:
            break
        values = (
            schema.get("enum", [schema["const"]] if "const" in schema else [])
            if isinstance(schema, Mapping)
            else []
        )
        if values and name in step.holder.get("required", ()):
            found[name] = {repr(value) for value in values}
    return found
