"""`celery -A tasks worker` alone starts the worker, from any folder; `-P solo` is for debugging."""

import pytest

from ops.dev.children import Child
from ops.dev.server import free_port
from ops.dev.stack import Stack, is_up
from tests.service import Service

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
FOREIGN = """
broker_url = "redis://10.0.0.9:1/0"
result_backend = "redis://10.0.0.9:1/0"
task_default_queue = "foreign"
task_always_eager = True
"""


@pytest.fixture
def abroad(tmp_path, postgres_server):
    """A service whose programs all start in a folder with another project's celeryconfig.py."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "celeryconfig.py").write_text(FOREIGN)
    options = {"workers": 0, "reconcilers": 0, "postgres": postgres_server}
    with Stack(tmp_path / "stack", env={"FLOWER_PASSWORD": "planted"}, **options) as stack:
        children = []

        def start(name, *arguments):
            child = Child(name, arguments, env=stack.env, logs=stack.logs, cwd=folder)
            children.append(child)
            return child

        yield Service(stack), start
        for child in reversed(children):
            child.stop()


def test_a_foreign_celeryconfig_in_the_current_folder_changes_no_program(abroad):
    service, start = abroad
    worker = start("plain", "-m", "celery", "-A", "tasks", "worker")
    reconciler = start("reconciler", "-m", "ops.cli", "reconcile")
    flower_port, receiver_port = free_port(), free_port()
    flower = start("flower", "-m", "ops.cli", "flower", "--port", str(flower_port))
    config = ["-c", "python:webhook.gunicorn", "--bind", f"127.0.0.1:{receiver_port}"]
    service.stack.webhook_url = f"http://127.0.0.1:{receiver_port}"
    receiver = start("receiver", "-m", "gunicorn", *config, "webhook:create_app()")
    receiver.wait_until(lambda: is_up(f"{service.stack.webhook_url}/readyz"), timeout_s=90)
    reconciler.wait_until(lambda: reconciler.has_logged("reconciler.started"), timeout_s=90)
    worker.wait_until(lambda: worker.has_logged(" ready."), timeout_s=90)
    flower.wait_until(lambda: is_up(f"http://127.0.0.1:{flower_port}/healthcheck"), timeout_s=90)

    run_id = service.new_run_id()
    service.deliver(run_id, *((f"c{n}", "search_inventory", GOOD) for n in range(3)))
    assert len(service.answer(run_id)) == 3
    assert service.queues() == []
    for child in (worker, reconciler, receiver, flower):
        assert not child.has_logged("10.0.0.9")


def test_solo_is_let_in_for_debugging_and_answers_a_run(own_service):
    service = own_service(worker_options=["-P", "solo"], env={"DEBUG_SOLO_POOL": "true"})
    run_id = service.new_run_id()
    service.deliver(run_id, *((f"c{n}", "search_inventory", GOOD) for n in range(3)))
    assert len(service.answer(run_id)) == 3
