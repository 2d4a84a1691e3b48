"""Fixtures of acceptance tests: a whole running service, driven from the outside."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.dev.stack import Stack
from tests.service import Service

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory, postgres_server):
    folder = tmp_path_factory.mktemp("shared")
    tools = folder / "tools"
    shutil.copytree(ROOT / "tools", tools)
    # with a bound argument
    shutil.copytree(ROOT / "ops/dev/demo/tools/list_my_invoices", tools / "list_my_invoices")
    with Stack(folder, tools_dir=tools, reconcilers=1, postgres=postgres_server) as stack:
        yield Service(stack, is_patient=True)


@pytest.fixture
def service(shared_service):
    """The stack that most tests share; each leaves Genesys without faults and limits."""
    yield shared_service
    shared_service.calm()


@contextmanager
def _starter(folder, postgres):
    stacks = []

    def start(**options):
        options = {"reconcilers": 1, "postgres": postgres, **options}
        stack = Stack(folder / f"stack-{len(stacks)}", **options)
        stacks.append(stack)
        stack.start()
        return Service(stack, is_patient=True)

    try:
        yield start
    finally:
        for stack in stacks:
            stack.stop()


@pytest.fixture
def own_service(tmp_path, postgres_server):
    """
    Start a stack of the test's own, to break: `own_service(workers=2, env={...})`.

    It costs 4 s of CPU: a stack that the test leaves whole is better shared, by `start_service`.
    Its Postgres is the common one; to break that, too, use `postgres=None`.
    """
    with _starter(tmp_path, postgres_server) as start:
        yield start


@pytest.fixture(scope="module")
def start_service(tmp_path_factory, postgres_server):
    """Start a stack for all tests of a module, each of which leaves it whole; as `own_service`."""
    with _starter(tmp_path_factory.mktemp("module"), postgres_server) as start:
        yield start
