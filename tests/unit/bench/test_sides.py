"""A side of the benchmark that fails is named."""

import os

import pytest

from bench.sides import Side, Work
from bench.sink import Sink


def test_a_sender_that_cannot_start_is_named():
    with Sink() as sink:
        side = Side("nobody", os.getpid(), [], sink, {"PATH": os.defpath})

        with pytest.raises(
            RuntimeError, match="sender of nobody ended with 1: ModuleNotFoundError"
        ):
            side.measure(Work(runs=1, calls=1))
