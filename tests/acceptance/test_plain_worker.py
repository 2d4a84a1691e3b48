"""`celery -A tasks worker` alone starts the worker, from any folder; `-P solo` is for debugging."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ops.dev.children import Child
from ops.dev.server import free_port
from ops.dev.stack import WORKER, is_up
from tests.service import Service

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
FOREIGN = """
broker_url = "redis://10.0.0.9:1/0"
result_backend = "redis://10.0.0.9:1/0"
task_default_queue = "foreign"
task_always_eager = True
"""


@contextmanager
def _starting(folder, shared_service):
    """
    Start programs in a folder with another project's celeryconfig.py.

    Their servers are those of the shared service, with Redis databases of their own.
    """
    folder.mkdir(exist_ok=True)
    (folder / "celeryconfig.py").write_text(FOREIGN)
    own = _env(shared_service.stack)
    children = []

    def start(name, *arguments, **env):
        child = Child(name, arguments, env={**own, **env}, logs=folder, cwd=folder)
        children.append(child)
        return child

    try:
        yield start
    finally:
        for child in reversed(children):
            child.stop()


def _env(stack):
    urls = {name: stack.env[name].removesuffix("/0") + "/1" for name in ("REDIS_URL", "LEDGER_URL")}
    return {**stack.env, **urls, "FLOWER_PASSWORD": "planted"}


@pytest.fixture
def start(shared_service, tmp_path):
    with _starting(tmp_path, shared_service) as start:
        yield start


@pytest.fixture(scope="module")
def abroad(shared_service, tmp_path_factory):
    """A receiver that was started in such a folder, and the service behind it, without workers."""
    port = free_port()
    arguments = ["-c", "python:webhook.gunicorn", "--bind", f"127.0.0.1:{port}"]
    stack = SimpleNamespace(
        env=_env(shared_service.stack),
        webhook_url=f"http://127.0.0.1:{port}",
        simulator_url=shared_service.stack.simulator_url,
        secret=shared_service.stack.secret,
    )
    with _starting(tmp_path_factory.mktemp("abroad"), shared_service) as start:
        receiver = start("receiver", "-m", "gunicorn", *arguments, "webhook:create_app()")
        receiver.wait_until(lambda: is_up(f"{stack.webhook_url}/readyz"), timeout_s=90)
        yield receiver, Service(stack)


def test_a_foreign_celeryconfig_in_the_current_folder_changes_no_program(start, abroad):
    receiver, service = abroad
    worker = start("plain", *WORKER)
    reconciler = start("reconciler", "-m", "ops.cli", "reconcile")
    flower_port = free_port()
    flower = start("flower", "-m", "ops.cli", "flower", "--port", str(flower_port))
    reconciler.wait_until(lambda: reconciler.has_logged("reconciler.started"), timeout_s=90)
    worker.wait_until(lambda: worker.has_logged(" ready."), timeout_s=90)
    flower.wait_until(lambda: is_up(f"http://127.0.0.1:{flower_port}/healthcheck"), timeout_s=90)

    run_id = service.new_run_id()
    service.deliver(run_id, *((f"c{n}", "search_inventory", GOOD) for n in range(3)))
    assert len(service.answer(run_id)) == 3
    assert service.queues() == []
    for child in (worker, reconciler, receiver, flower):
        assert not child.has_logged("10.0.0.9")


def test_solo_is_let_in_for_debugging_and_answers_a_run(start, abroad):
    _, service = abroad
    worker = start("solo", *WORKER, "-P", "solo", DEBUG_SOLO_POOL="true")
    worker.wait_until(lambda: worker.has_logged(" ready."), timeout_s=90)
    run_id = service.new_run_id()
    service.deliver(run_id, *((f"c{n}", "search_inventory", GOOD) for n in range(3)))
    assert len(service.answer(run_id)) == 3
