"""One compose project for all tests of `make compose-check`; each leaves it whole."""

import pytest

from tests.compose.installation import Installation
from tests.compose.project import Compose


@pytest.fixture(scope="session")
def compose():
    project = Compose()
    project("build")
    try:
        project.up(workers=3)
        yield project
    finally:
        project.remove()


@pytest.fixture(scope="session")
def installation(tmp_path_factory):
    """The service as docs/production.md has it installed; each test leaves it whole."""
    installed = Installation(tmp_path_factory.mktemp("installation"))
    try:
        installed.first_start()
        yield installed
    finally:
        installed.remove()


_figures: list[str] = []


@pytest.fixture(scope="session")
def alert_figures():
    """Rows of the table that is printed at the end."""
    return _figures


def pytest_terminal_summary(terminalreporter):
    for row in _figures:
        terminalreporter.write_line(row)
