"""A query that a retry cannot help is tried once."""

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from db.errors import ToolError
from tasks.query import answer
from tests.tool import TOOL


class _Databases:
    """Fails each query in the same way, and counts them."""

    def __init__(self, error):
        self._error = error
        self.queries = 0

    def query(self, tool, values, *, timeout_ms, traceparent):
        self.queries += 1
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (RecursionError(), "internal_error", False),
        (MemoryError(), "internal_error", False),
        (KeyError("sku"), "internal_error", False),
        (SoftTimeLimitExceeded(), "timeout", True),
        (ToolError("too_large", "…"), "too_large", False),
    ],
)
def test_a_call_that_another_attempt_cannot_help_has_one(error, code, retryable):
    databases = _Databases(error)
    with pytest.raises(ToolError) as failed:
        answer(databases, TOOL, {}, left_ms=20_000)
    assert (failed.value.code, failed.value.retryable) == (code, retryable)
    assert databases.queries == 1
