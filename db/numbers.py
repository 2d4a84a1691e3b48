"""JSON numbers with all their digits, as validators judge them and Postgres takes them."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_DIGITS = 400
"""Digits before the point; the largest float has 309."""
MAX_DECIMALS = 1_000
"""Digits behind the point; Postgres' numeric has room for 16,383."""
_PLAIN_DIGITS = 18


class ExactFloat(float):
    """
    A JSON number with a fraction: a float to validators, `decimal` to Postgres.

    It compares by its digits. Beside a float they are those that Python prints: 0.1 is 0.1.
    """

    __slots__ = ("decimal",)

    decimal: Decimal

    def __new__(cls, decimal: Decimal) -> "ExactFloat":
        self = super().__new__(cls, decimal)
        self.decimal = decimal
        return self

    def is_integer(self) -> bool:
        """False: a whole number is an int, also where a float would round this one to it."""
        return False

    def __repr__(self) -> str:
        return str(self.decimal)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and self.decimal == _decimal(other)

    def __hash__(self) -> int:
        # Python hashes numbers modulo 2 ** 61 - 1, so that a caller can find thousands with one
        # hash, which makes a set of them quadratic; the hash of a text has a secret in it
        return hash(f"{self.decimal:f}".rstrip("0"))

    def __lt__(self, other: float) -> bool:
        return self.decimal < _decimal(other)

    def __le__(self, other: float) -> bool:
        return self.decimal <= _decimal(other)

    def __gt__(self, other: float) -> bool:
        return self.decimal > _decimal(other)

    def __ge__(self, other: float) -> bool:
        return self.decimal >= _decimal(other)


class LargeInteger(int):
    """An integer whose hash a caller cannot choose; see ExactFloat."""

    def __hash__(self) -> int:
        return hash(str(self))


def integer(text: str) -> int | float:
    """A JSON integer; infinity if it is beyond a float."""
    if len(text) <= _PLAIN_DIGITS:
        return int(text)
    return LargeInteger(text) if len(text) <= MAX_DIGITS else math.inf


def number(text: str) -> int | float:
    """
    A JSON number that is not written as an integer; NaN if it has more digits than are kept.

    `5.0` and `1e3` are integers to JSON Schema, so they are ints.
    """
    if math.isinf(float(text)):
        return math.inf
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent of 19 digits
        return math.nan
    if exact.is_zero():
        return 0
    if exact.adjusted() < -MAX_DECIMALS or len(text) > MAX_DECIMALS:
        return math.nan
    if exact == exact.to_integral_value():
        return integer(str(int(exact)))
    return ExactFloat(exact)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, ExactFloat):
        return value.decimal
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))
