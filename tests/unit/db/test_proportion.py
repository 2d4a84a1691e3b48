"""Whatever arguments come, they cost memory and work in proportion to their size."""

import json
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from db.catalog.validate import Validator
from db.errors import ToolError
from tests.cases import cases
from webhook.delivery import delivery_of, read

BYTES = 64_000
MOST_MB = 40
"""What a child's memory may grow by before the schema has decided."""
MOST_WORK = 2.5
"""What doubling the input may multiply the work by."""

_DEFINITIONS = {
    "numbers": {
        "type": ["object", "array", "integer"],
        "additionalProperties": {"$ref": "#/definitions/numbers"},
        "items": {"$ref": "#/definitions/numbers"},
    }
}
_TEXTS = st.sampled_from(
    [
        {"type": "string"},
        {"enum": ["a", "b"]},
        {"enum": [1, [2], {"a": 3}]},
        {"const": {"a": [1, 2]}},
        {"pattern": r"^(\w+\s?)+$"},
        {"pattern": "(x+x+)+y"},
        {"maxLength": 3},
        {"format": "email"},
        {"format": "date-time"},
        {"format": "ipv6"},
        {"type": "number", "multipleOf": 0.01, "maximum": 5},
        {"type": "object", "required": ["x", "y", "z"]},
        {"dependencies": {"a": ["b"]}},
        {"$ref": "#/definitions/numbers"},
        {},
        False,
    ]
)


def _around(inner):
    return st.one_of(
        st.builds(lambda s: {"type": "array", "items": s}, inner),
        st.builds(lambda s: {"items": s, "uniqueItems": True}, inner),
        st.builds(lambda s: {"items": [s], "additionalItems": s}, inner),
        st.builds(lambda s: {"type": "object", "additionalProperties": s}, inner),
        st.builds(lambda s: {"patternProperties": {"^(a|aa)+": s, "b$": s}}, inner),
        st.builds(lambda s: {"propertyNames": s}, inner),
        st.builds(lambda s: {"contains": s}, inner),
        st.builds(lambda s: {"not": s}, inner),
        st.builds(lambda s, t: {"anyOf": [s, t, {"type": "null"}]}, inner, inner),
        st.builds(lambda s, t: {"oneOf": [s, t]}, inner, inner),
        st.builds(lambda s, t, u: {"if": s, "then": t, "else": u}, inner, inner, inner),
    )


SCHEMAS = st.recursive(_TEXTS, _around, max_leaves=4)

# a value of about as many bytes as it is given: what is repeated in it, and in what
_SMALL = st.sampled_from(
    ["1", "true", "[]", "{}", '"a"', '"😀"', '"a@b."', "0.1", '{"a":1}', "[[1]]", '[{"a":[1]}]']
)


def _growing():
    def repeated(unit):
        return lambda size: "[" + ",".join([unit] * (size // (len(unit) + 1))) + "]"

    def distinct(size):
        return "[" + ",".join(str(10_000 + n) for n in range(size // 6)) + "]"

    def colliding(size):
        return "[" + ",".join(str((2**61 - 1) * (n + 9)) for n in range(size // 21)) + "]"

    def digits(size):
        number = "0." + "1" * 300
        return "[" + ",".join(f"{number}{n}" for n in range(size // 308)) + "]"

    def named(unit):
        return lambda size: (
            "{" + ",".join(f'"{n:06}":{unit}' for n in range(size // (len(unit) + 10))) + "}"
        )

    def long_name(letter, unit):
        def make(size):
            name = letter * (size // 2 // len(letter.encode()))
            return f'{{"{name}":{repeated(unit)(size // 2)}}}'

        return make

    def deep(unit):
        def make(size):
            name = "a" * (size // 120)
            return f'{{"{name}":' * 58 + repeated(unit)(size // 2) + "}" * 58

        return make

    def text(letter):
        return lambda size: '"' + letter * (size // len(letter.encode())) + '!"'

    return st.one_of(
        st.builds(repeated, _SMALL),
        st.builds(named, _SMALL),
        st.builds(long_name, st.sampled_from(["a", "é", "😀"]), _SMALL),
        st.builds(deep, _SMALL),
        st.builds(text, st.sampled_from(["a", "x", "a.", ":1", "é", "😀", "\\\\", "\\n"])),
        st.sampled_from([distinct, colliding, digits]),
    )


def _schema(of_a):
    return {
        "type": "object",
        "properties": {"a": of_a},
        "additionalProperties": False,
        "definitions": _DEFINITIONS,
    }


def _validate(validator, arguments):
    try:
        validator.values(arguments)
    except ToolError:
        pass


def _peak_mb(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _lines(work):
    """How many lines of Python run: the work, on any machine the same."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


_CASES = given(schema=SCHEMAS, make=_growing(), name=st.sampled_from(["a", "b"]))
_SEARCH = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=cases(50), **_SEARCH)
@_CASES
def test_no_arguments_cost_more_memory_than_in_proportion(schema, make, name):
    validator = Validator(_schema(schema))
    _validate(validator, '{"b": 1}')
    arguments = f'{{"{name}":{make(BYTES)}}}'
    peak_mb = _peak_mb(lambda: _validate(validator, arguments))
    target(peak_mb)
    assert peak_mb <= MOST_MB


@settings(max_examples=cases(60), **_SEARCH)
@_CASES
def test_twice_the_arguments_are_at_most_two_and_a_half_times_the_work(schema, make, name):
    validator = Validator(_schema(schema))
    _validate(validator, '{"b": 1}')
    once, twice = (
        _lines(lambda size=size: _validate(validator, f'{{"{name}":{make(size)}}}'))
        for size in (4_000, 8_000)
    )
    ratio = twice / max(once, 2_000)  # of little work the constant part is most
    target(ratio)
    assert ratio <= MOST_WORK


@pytest.mark.parametrize(
    ("of_a", "arguments"),
    [
        # one name of 32,000 letters over 16,300 ones: 2.06 GB, once
        ({"type": "array"}, '{"' + "n" * 31_996 + '😀":[' + ",".join(["1"] * 16_300) + "]}"),
        (
            {"type": "object", "additionalProperties": {"items": {"type": "string"}}},
            '{"a":{"' + "n" * 32_000 + '":[' + ",".join(["1"] * 15_900) + "]}}",
        ),
        (
            {"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "boolean"}}]},
            '{"a":[' + ",".join(["1"] * 31_900) + "]}",
        ),
    ],
)
def test_the_worst_that_were_found_stay_small(of_a, arguments):
    validator = Validator(_schema(of_a))
    assert _peak_mb(lambda: _validate(validator, arguments)) <= MOST_MB


def test_a_delivery_of_1_mb_with_128_calls_costs_no_more_than_its_size():
    validator = Validator(_schema({"type": "array", "items": {"type": "string"}}))
    _validate(validator, '{"b": 1}')

    def work(calls, bytes_in_all):
        each = bytes_in_all // calls
        arguments = '{"' + "n" * (each // 2) + '":[' + ",".join(["1"] * (each // 4 - 80)) + "]}"
        body = json.dumps(
            {
                "run_id": "r",
                "tool_calls": [
                    {
                        "id": str(number),
                        "type": "function",
                        "function": {"name": "t", "arguments": arguments},
                    }
                    for number in range(calls)
                ],
            }
        ).encode()
        assert len(body) < 1_000_000

        def run():
            for call in delivery_of(read(body))["tool_calls"]:
                _validate(validator, call["function"]["arguments"])

        return run

    assert _peak_mb(work(128, 990_000)) <= MOST_MB
    once, twice = _lines(work(64, 495_000)), _lines(work(128, 990_000))
    assert twice <= MOST_WORK * once


# Python does not count RE2's memory, so the process' size is read from the kernel
_CHILD = """
import resource, sys
from db.patterns import compile_pattern
pattern = compile_pattern(sys.argv[1])
pattern.search("a")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pattern.search("ab1.-é" * 9_000 + "!")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(
    "pattern", [r"^(\w+\s?)+$", "(?:.{0,900}x)+y", r"^([a-z0-9]{1,63}[.-]){1,126}z$"]
)
def test_no_pattern_costs_more_memory_than_a_validation_may(pattern):
    command = [sys.executable, "-c", _CHILD, pattern]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert int(found.stdout) <= MOST_MB
