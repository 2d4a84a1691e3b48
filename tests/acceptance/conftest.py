"""A running service, the whole of it, for the tests that drive it from the outside."""

from pathlib import Path

import pytest

from ops.dev.stack import Stack
from tests.service import Service

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory, postgres_server):
    folder = tmp_path_factory.mktemp("shared")
    with Stack(folder, reconcilers=1, postgres=postgres_server) as stack:
        yield Service(stack)


@pytest.fixture
def service(shared_service):
    """The stack that most tests share; each leaves Genesys without faults and limits."""
    yield shared_service
    shared_service.calm()


@pytest.fixture
def own_service(tmp_path, postgres_server):
    """
    Start a stack of the test's own, to break: `own_service(workers=2, env={...})`.

    Its Postgres is the common one; to break that, too, ask for `postgres=None`.
    """
    stacks = []

    def start(**options):
        options = {"reconcilers": 1, "postgres": postgres_server, **options}
        stack = Stack(tmp_path / f"stack-{len(stacks)}", **options)
        stacks.append(stack)
        stack.start()
        return Service(stack)

    yield start
    for stack in stacks:
        stack.stop()


@pytest.fixture(scope="module")
def shared_holding(tmp_path_factory, tools_with_hold, postgres_server):
    """One stack for the tests that leave it whole; its runs are answered after 6 s."""
    folder = tmp_path_factory.mktemp("holding")
    env = {"RUN_ANSWER_BY_S": "6"}
    options = {"tools_dir": tools_with_hold, "reconcilers": 1, "postgres": postgres_server}
    with Stack(folder, env=env, **options) as stack:
        yield Service(stack)
