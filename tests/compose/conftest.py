"""One compose project for all tests of `make compose-check`; each leaves it whole."""

import pytest

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
