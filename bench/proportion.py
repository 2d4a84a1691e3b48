"""Benchmark of the costliest arguments known: CPU time for 32 kB and 64 kB of each."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from db.catalog.validate import Validator
from db.errors import ToolError

SIZES = (32_000, 64_000)
TURNS = 5
MOST_RATIO = 2.5
"""What doubling the input may multiply the time by."""
_LEAST_MS = 5.0
"""Of less time than this the machine's own noise is most."""

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
    holds = True
    print(f"{'CPU time of a validation':30} {'32 kB':>9} {'64 kB':>9}")
    for name, of_a, make in _CASES:
        schema = {
            "type": "object",
            "properties": {"a": of_a},
            "additionalProperties": False,
            "definitions": {"a": {"anyOf": [{"type": "array"}, _TREE]}},
        }
        validator = Validator(schema)
        small_ms, large_ms = (
            _cpu_ms(validator, json.dumps(make(size), ensure_ascii=False, separators=(",", ":")))
            for size in SIZES
        )
        ratio = large_ms / max(small_ms, _LEAST_MS)
        holds = holds and ratio <= MOST_RATIO
        print(f"{name:30} {small_ms:6.1f} ms {large_ms:6.1f} ms  ({ratio:.1f} x, at most 2.5)")
    return holds


def _cpu_ms(validator: Validator, arguments: str) -> float:
    taken = []
    for _ in range(TURNS):
        began = time.process_time()
        with suppress(ToolError):
            validator.values(arguments)
        taken.append((time.process_time() - began) * 1000)
    return statistics.median(taken)
