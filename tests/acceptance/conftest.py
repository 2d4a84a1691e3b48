"""A running service, the whole of it, for the tests that drive it from the outside."""

from pathlib import Path

import pytest

from ops.stack import Stack
from tests.service import Service

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("shared"), reconcilers=1) as stack:
        yield Service(stack)


@pytest.fixture
def service(shared_service):
    """The stack that most tests share; each leaves Genesys without faults and limits."""
    yield shared_service
    shared_service.inject(submit=[], token=[])


@pytest.fixture
def own_service(tmp_path):
    """Start a stack of the test's own, to break: `own_service(workers=2, env={...})`."""
    stacks = []

    def start(**options):
        stack = Stack(tmp_path / f"stack-{len(stacks)}", **{"reconcilers": 1, **options})
        stacks.append(stack)
        stack.start()
        return Service(stack)

    yield start
    for stack in stacks:
        stack.stop()


@pytest.fixture(scope="module")
def shared_holding(tmp_path_factory, tools_with_hold):
    """One stack for the tests that leave it whole; its runs are answered after 6 s."""
    folder = tmp_path_factory.mktemp("holding")
    env = {"RUN_ANSWER_BY_S": "6"}
    with Stack(folder, tools_dir=tools_with_hold, env=env, reconcilers=1) as stack:
        yield Service(stack)
