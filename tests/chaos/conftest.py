"""Fixtures of the chaos tests: their seed, and the table of faults at the end."""

import pytest

from tests.chaos import harness

_rows = []


def pytest_addoption(parser):
    parser.addoption(
        "--chaos-seed", default="1", help="What the chaos tests' randomness is made of."
    )


@pytest.fixture
def rows():
    """Rows for the table that is printed at the end."""
    return _rows


def pytest_terminal_summary(terminalreporter, config):
    if _rows:
        terminalreporter.write_line(f"\nseed {config.getoption('--chaos-seed', default='1')}\n")
        terminalreporter.write_line(harness.table(_rows))
