"""A fault of our own code is an answer to the call, and what is logged holds no argument."""

from types import SimpleNamespace

import pytest

from db import faults
from db.errors import ToolError, Unavailable


class _Stop(Exception):
    pass


def _deep(level):
    return _deep(level + 1)


def _too_large():
    raise MemoryError


def _bug():
    return {"sku": "secret"}["secret sku"]


@pytest.mark.parametrize("fault", [lambda: _deep(0), _too_large, _bug])
def test_a_fault_is_an_internal_error_at_once(fault):
    with pytest.raises(ToolError) as failed, faults.faults_as_answers():
        fault()
    assert (failed.value.code, failed.value.retryable) == ("internal_error", False)


@pytest.mark.parametrize(
    "expected", [Unavailable("no route"), ToolError("timeout", "slow", retryable=True), _Stop()]
)
def test_what_is_expected_is_raised_as_it_is(expected):
    with pytest.raises(type(expected)) as raised, faults.faults_as_answers(_Stop):
        raise expected
    assert raised.value is expected


def test_what_ends_the_process_is_raised_as_it_is():
    with pytest.raises(SystemExit), faults.faults_as_answers():
        raise SystemExit


def test_the_log_names_kind_and_place_and_no_value(monkeypatch):
    lines = []
    record = SimpleNamespace(error=lambda event, **fields: lines.append(f"{event} {fields}"))
    monkeypatch.setattr(faults, "_log", record)
    with pytest.raises(ToolError), faults.faults_as_answers():
        _bug()
    (line,) = lines
    assert line.startswith("call.fault ")
    assert "KeyError" in line
    assert "test_faults.py" in line
    assert "_bug" in line
    assert "secret" not in line
