"""Numbers of JSON keep their digits, and no caller can make comparing them slow."""

from decimal import Decimal

import pytest

from db.arguments import parse
from db.catalog.validate import Validator
from db.errors import ToolError
from db.numbers import ExactFloat, LargeInteger


def _value(text):
    return parse(f'{{"n": {text}}}')["n"]


def _is_valid(text, **schema):
    validator = Validator(
        {"type": "object", "properties": {"n": schema}, "additionalProperties": False}
    )
    try:
        validator.values(f'{{"n": {text}}}')
    except ToolError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("12345678901234567.89", Decimal("12345678901234567.89")),
        ("0.10", Decimal("0.10")),
        ("10.00000000000000000001", Decimal("10.00000000000000000001")),
        ("-2.5e-7", Decimal("-2.5e-7")),
    ],
)
def test_a_fraction_keeps_its_digits(text, decimal):
    assert _value(text).decimal == decimal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12345678901234567890", 12345678901234567890),
        ("12345678901234567890.0", 12345678901234567890),
        ("1e22", 10**22),
        ("0e-99", 0),
    ],
)
def test_a_whole_number_is_an_integer_with_all_its_digits(text, value):
    assert (_value(text), isinstance(_value(text), int)) == (value, True)


@pytest.mark.parametrize(
    ("text", "schema", "is_valid"),
    [
        ("10.00000000000000000001", {"type": "integer"}, False),
        ("10.00000000000000000001", {"maximum": 10}, False),
        ("9.99999999999999999999", {"exclusiveMaximum": 10}, True),
        ("0.1", {"maximum": 0.1}, True),
        ("0.1", {"exclusiveMinimum": 0.1}, False),
        ("0.1", {"enum": [0.1, 2]}, True),
        ("0.10000000000000000001", {"enum": [0.1, 2]}, False),
        ("0.1", {"const": 0.1}, True),
        ("19.01", {"multipleOf": 0.01}, True),
        ("19.0100000000000000001", {"multipleOf": 0.01}, False),
        ("[0.1, 0.10]", {"uniqueItems": True}, False),
        ("[0.1, 0.10000000000000000001]", {"uniqueItems": True}, True),
        ("[12345678901234567890, 12345678901234567890.0]", {"uniqueItems": True}, False),
        ("[1, 1.0]", {"uniqueItems": True}, False),
    ],
)
def test_a_schema_judges_all_digits(text, schema, is_valid):
    assert _is_valid(text, **schema) is is_valid


@pytest.mark.parametrize(
    "numbers",
    [
        # Python gives each of these the hash 0
        [LargeInteger(n * (2**61 - 1)) for n in range(1_000, 2_000)],
        [ExactFloat(Decimal(n * (2**61 - 1)).scaleb(-1)) for n in range(10_001, 20_000, 10)],
    ],
)
def test_a_caller_cannot_choose_numbers_of_one_hash(numbers):
    assert len({hash(number) for number in numbers}) > 990
