"""Each patch of a library, with and without it; when a "without" test fails, drop the patch."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests import forked_cli

# by its path: the package around it would check the settings of a whole worker
PATCH = f"import runpy; runpy.run_path({str(Path(__file__).parents[2] / 'tasks/compat.py')!r})"
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
{patch}
import os, time
from celery import Celery
app = Celery("program", broker="{url}")
app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True,
                worker_prefetch_multiplier=1{options})
@app.task(name="hold")
def hold():
    import redis
    redis.Redis.from_url("{url}").rpush("holding", 1)
    while not os.path.exists("release"):
        time.sleep(0.05)
@app.task(name="probe")
def probe():
    import redis
    redis.Redis.from_url("{url}").rpush("probed", 1)
"""


def _worker(folder, url, patch, options=""):
    program = PROGRAM.format(url=url, patch=patch, options=options)
    (folder / "program.py").write_text(program)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "program", "worker", "-c", "2"],
            cwd=folder,
            env={"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "/usr/bin:/bin"},
            stdout=log,
            stderr=log,
        )  # fmt: skip


def _wait(condition, within_s=60.0):
    deadline = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except redis.ConnectionError:
            pass
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)


def _python(program):
    """Run it where the libraries are imported and without a patch."""
    env = {"PATH": "/usr/bin:/bin"}
    return forked_cli.python("-c", program, env=env, imports=forked_cli.LIBRARIES)


@pytest.fixture
def own_redis(own_redis_server):
    return own_redis_server()


@pytest.fixture
def held_while_redis_restarts(own_redis, tmp_path):
    """
    A worker with one task running and one slot free, right after Redis came back.

    The task ends when there is a file `release`.
    """
    workers = []

    def start(patch):
        worker = _worker(tmp_path, own_redis.url, patch)
        workers.append(worker)
        program = Celery(broker=own_redis.url)
        client = redis.Redis.from_url(own_redis.url)
        program.send_task("hold")
        _wait(lambda: client.llen("holding"))
        # it waits for the next message, on a connection that the restart will break
        _wait(lambda: any("b" in each["flags"] for each in client.client_list()))
        own_redis.stop()
        own_redis.start()
        return worker, program, client

    yield start
    (tmp_path / "release").touch()
    for worker in workers:
        worker.terminate()
        worker.wait(60)


def test_without_the_patch_a_redis_restart_ends_the_worker(held_while_redis_restarts, tmp_path):
    worker, _, _ = held_while_redis_restarts("")
    # the task runs until the worker has noticed; it ends what runs before it ends itself
    _wait(lambda: "has no attribute 'hostname'" in (tmp_path / "log").read_text())
    (tmp_path / "release").touch()
    assert worker.wait(60) == 1


def test_with_the_patch_the_worker_outlives_a_redis_restart(held_while_redis_restarts):
    worker, program, client = held_while_redis_restarts(PATCH)
    program.send_task("probe")
    _wait(lambda: client.llen("probed"))
    assert worker.poll() is None


@pytest.fixture
def full_while_messages_wait(own_redis, tmp_path):
    """A worker that takes a message, which it may, and cannot note it: Redis has no memory left."""
    workers = []

    def start(options):
        workers.append(_worker(tmp_path, own_redis.url, "", options))
        program = Celery(broker=own_redis.url)
        client = redis.Redis.from_url(own_redis.url)
        for _ in range(2):
            program.send_task("hold")
        _wait(lambda: client.llen("holding") == 2)
        for _ in range(20):
            program.send_task("probe")
        client.config_set("maxmemory", 1)
        (tmp_path / "release").touch()
        return workers[0], client

    yield start
    for worker in workers:
        worker.terminate()
        worker.wait(60)


def test_without_a_setting_a_redis_without_memory_ends_the_worker(full_while_messages_wait):
    worker, _ = full_while_messages_wait("")
    assert worker.wait(60) == 1


def test_with_the_setting_the_worker_goes_on_when_there_is_memory(
    full_while_messages_wait, tmp_path
):
    worker, client = full_while_messages_wait(", broker_channel_error_retry=True")
    _wait(lambda: "Trying to re-establish" in (tmp_path / "log").read_text())
    client.config_set("maxmemory", 0)
    _wait(lambda: client.llen("celery") == 0 and client.llen("probed"))
    assert worker.poll() is None


CLIENTS = """
import redis
from celery import Celery
made = []
class Client(redis.Redis):
    def __init__(self, *args, **options):
        made.append(1)
        super().__init__(*args, **options)
app = Celery("clients", broker="{url}")
def publish(queue):
    made.clear()
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        channel.Client = Client
        producer = connection.Producer(channel)
        for _ in range(10):
            producer.publish("text", routing_key=queue)
        before = len(made)
        channel._disconnect_pools()
        producer.publish("text", routing_key=queue)
    print(before, redis.Redis.from_url("{url}").llen(queue))
publish("compat.without")
{patch}
publish("compat.with")
"""


def test_with_the_patch_a_channel_keeps_one_client_and_outlives_its_pool(
    redis_server,
):
    program = CLIENTS.format(url=redis_server.url, patch=PATCH)
    done = _python(program)
    assert done.stdout.splitlines() == ["10 11", "1 11"], done.stderr


def test_another_release_of_a_patched_library_fails_the_start():
    done = _python(f"import importlib.metadata as m; m.version = lambda name: '9.9.9'; {PATCH}")
    assert done.returncode == 1
    assert "tasks/compat.py patches celery 5.7.0, not 9.9.9" in done.stderr
