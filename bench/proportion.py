"""Benchmark of the costliest arguments known: CPU time for 32 kB and 64 kB of each."""

import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from db.catalog.validate import Validator
from db.errors import ToolError

SIZES = (32_000, 64_000)
TURNS = 7
"""
Turns over all cases. In a turn the sizes of a case follow each other within milliseconds, since a
machine's clock rate changes with its load.
"""
MOST_RATIO = 2.5
"""Largest ratio of the times when the input doubles."""
_LEAST_MS = 5.0
"""Below this the machine's noise is larger than the time itself."""

_ONES: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
_TREE: Mapping[str, Any] = {"type": "object", "additionalProperties": {"$ref": "#/definitions/a"}}


def _ones(size: int) -> list[int]:
    return [1] * (size // 2)


_CASES: tuple[tuple[str, Mapping[str, Any], Callable[[int], Any]], ...] = (
    ("a long name over ones", _ONES, lambda size: {"é" * (size // 4): _ones(size // 2)}),
    ("thousands of unknown names", _ONES, lambda size: {f"k{n}": 1 for n in range(size // 11)}),
    ("an array of violations", _ONES, lambda size: {"a": _ones(size)}),
    (
        "violations below a long name",
        {"type": "object", "additionalProperties": _ONES},
        lambda size: {"a": {"n" * (size // 2): _ones(size // 2)}},
    ),
    ("anyOf over an array", {"anyOf": [_ONES, _ONES]}, lambda size: {"a": _ones(size)}),
    (
        "uniqueItems of one hash",
        {"uniqueItems": True},
        lambda size: {"a": [(2**61 - 1) * n for n in range(1_000, 1_000 + size // 23)]},
    ),
    (
        "uniqueItems of objects",
        {"uniqueItems": True},
        lambda size: {"a": [{"a": n} for n in range(size // 12)]},
    ),
    ("an enum of an array", {"items": {"enum": ["a", [1]]}}, lambda size: {"a": _ones(size)}),
    (
        "a pattern that backtracks",
        {"type": "string", "pattern": r"^(\w+\s?)+$"},
        lambda size: {"a": "a" * (size - 20) + "!"},
    ),
    ("an e-mail of dots", {"format": "email"}, lambda size: {"a": "a@" + "a." * (size // 2 - 10)}),
    (
        "58 levels of long names",
        _TREE,
        lambda size: _nested({"n" * (size // 120): _ones(size // 2)}, size // 120, 57),
    ),
)


def _nested(inner: Any, length: int, levels: int) -> Any:
    for _ in range(levels):
        inner = {"n" * length: inner}
    return {"a": inner}


def main() -> bool:
    """Print a table; whether each case holds."""
    cases = [
        (name, _validator(of_a), [_text(make(size)) for size in SIZES])
        for name, of_a, make in _CASES
    ]
    turns: list[list[list[float]]] = [
        [[_cpu_ms(validator, text) for text in texts] for _, validator, texts in cases]
        for _ in range(TURNS)
    ]
    holds = True
    print(f"{'CPU time of a validation':30} {'32 kB':>9} {'64 kB':>9}")
    for number, (name, *_) in enumerate(cases):
        taken = [turn[number] for turn in turns]
        small_ms, large_ms = (statistics.median(column) for column in zip(*taken, strict=True))
        ratio = statistics.median(large / max(small, _LEAST_MS) for small, large in taken)
        holds = holds and ratio <= MOST_RATIO
        print(f"{name:30} {small_ms:6.1f} ms {large_ms:6.1f} ms  ({ratio:.1f} x, at most 2.5)")
    return holds


def _validator(of_a: Mapping[str, Any]) -> Validator:
    return Validator(
        {
            "type": "object",
            "properties": {"a": of_a},
            "additionalProperties": False,
            "definitions": {"a": {"anyOf": [{"type": "array"}, _TREE]}},
        }
    )


def _text(arguments: Any) -> str:
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def _cpu_ms(validator: Validator, arguments: str) -> float:
    # a full collection costs as much as all that the process holds, and falls into the same case
    # in each turn
    gc.collect()
    gc.disable()
    began = time.process_time()
    with suppress(ToolError):
        validator.values(arguments)
    taken = time.process_time() - began
    gc.enable()
    return taken * 1000
