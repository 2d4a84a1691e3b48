"""What each repair of Celery is for. When a "without" test fails, upstream mended it: drop ours."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from celery import Celery

# by its path: the package around it would check the settings of a whole worker
REPAIR = f"import runpy; runpy.run_path({str(Path(__file__).parents[2] / 'tasks/repairs.py')!r})"
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
{repair}
import time
from celery import Celery
app = Celery("program", broker="{url}")
app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True,
                worker_prefetch_multiplier=1{options})
@app.task(name="hold")
def hold():
    import redis
    redis.Redis.from_url("{url}").rpush("holding", 1)
    time.sleep(3)
@app.task(name="probe")
def probe():
    import redis
    redis.Redis.from_url("{url}").rpush("probed", 1)
"""


def _worker(folder, url, repair, options=""):
    program = PROGRAM.format(url=url, repair=repair, options=options)
    (folder / "program.py").write_text(program)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "program", "worker", "-c", "2"],
            cwd=folder,
            env={"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "/usr/bin:/bin"},
            stdout=log,
            stderr=log,
        )  # fmt: skip


def _wait(condition, within_s=30.0):
    deadline = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except redis.ConnectionError:
            pass
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)


@pytest.fixture
def own_redis(own_redis_server):
    return own_redis_server()


@pytest.fixture
def held_while_redis_restarts(own_redis, tmp_path):
    """A worker with one task running and one slot free, right after Redis came back."""
    workers = []

    def start(repair):
        worker = _worker(tmp_path, own_redis.url, repair)
        workers.append(worker)
        program = Celery(broker=own_redis.url)
        client = redis.Redis.from_url(own_redis.url)
        program.send_task("hold")
        _wait(lambda: client.llen("holding"))
        own_redis.stop()
        own_redis.start()
        return worker, program, client

    yield start
    for worker in workers:
        worker.terminate()
        worker.wait(20)


def test_without_the_repair_a_redis_restart_ends_the_worker(held_while_redis_restarts):
    worker, _, _ = held_while_redis_restarts("")
    assert worker.wait(30) == 1


def test_with_the_repair_the_worker_outlives_a_redis_restart(held_while_redis_restarts):
    worker, program, client = held_while_redis_restarts(REPAIR)
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
        return workers[0], client

    yield start
    for worker in workers:
        worker.terminate()
        worker.wait(20)


def test_without_a_setting_a_redis_without_memory_ends_the_worker(full_while_messages_wait):
    worker, _ = full_while_messages_wait("")
    assert worker.wait(30) == 1


def test_with_the_setting_the_worker_goes_on_when_there_is_memory(
    full_while_messages_wait, tmp_path
):
    worker, client = full_while_messages_wait(", broker_channel_error_retry=True")
    _wait(lambda: "Trying to re-establish" in (tmp_path / "log").read_text())
    client.config_set("maxmemory", 0)
    _wait(lambda: client.llen("celery") == 0 and client.llen("probed"))
    assert worker.poll() is None


CLIENTS = """
{repair}
import redis
from celery import Celery
made = []
class Client(redis.Redis):
    def __init__(self, *args, **options):
        made.append(1)
        super().__init__(*args, **options)
app = Celery("clients", broker="{url}")
with app.connection_for_write() as connection:
    channel = connection.default_channel
    channel.Client = Client
    producer = connection.Producer(channel)
    for _ in range(10):
        producer.publish("text", routing_key="somewhere")
    before = len(made)
    channel._disconnect_pools()
    producer.publish("text", routing_key="somewhere")
print(before, redis.Redis.from_url("{url}").llen("somewhere"))
"""


@pytest.mark.parametrize(("repair", "made"), [("", 10), (REPAIR, 1)])
def test_a_channel_sends_its_commands_with_one_client_and_outlives_its_pool(
    own_redis, repair, made
):
    program = CLIENTS.format(url=own_redis.url, repair=repair)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(made), "11"]


NOTES = """
{repair}
import json, sys
import redis
from kombu import Connection
url = "{url}"
client = redis.Redis.from_url(url)
def unacked():
    noted = {{json.dumps(json.loads(v)) for v in client.hvals("unacked")}}
    return sorted(noted), client.zcard("unacked_index"), set(client.hkeys("unacked")) == set(
        client.zrange("unacked_index", 0, -1))
with Connection(url) as connection:
    queue = connection.SimpleQueue("notes")
    client.lpush("notes", {message!r})
    message = queue.get(timeout=5)
    print(unacked())
    client.client_kill_filter(_type="normal", skipme=True)
    queue.channel.qos.append(message, "second")
    print(unacked()[1:])
    message.ack()
    queue.channel.qos.ack("second")
    print(unacked())
    client.config_set("maxmemory", 1)
    try:
        queue.channel.qos.append(message, "third")
        queue.channel.qos.ack("third")
        print("noted and acknowledged")
    except redis.ResponseError as error:
        print("refused")
    client.config_set("maxmemory", 0)
print(len(client.client_list()))
"""
MESSAGE = (
    '{"body": "1", "content-type": "application/json", "content-encoding": "utf-8", "headers": {},'
    ' "properties": {"delivery_mode": 2, "delivery_tag": "first", "body_encoding": null,'
    ' "delivery_info": {"exchange": "", "routing_key": "notes"}}}'
)


@pytest.mark.parametrize(
    ("repair", "while_full"), [("", "refused"), (REPAIR, "noted and acknowledged")]
)
def test_messages_are_noted_and_acknowledged_as_kombu_does_and_while_redis_is_full(
    own_redis, tmp_path, repair, while_full
):
    program = NOTES.format(repair=repair, url=own_redis.url, message=MESSAGE)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    *told, clients = done.stdout.splitlines()
    noted = f'[{MESSAGE}, "", "notes"]'
    assert told == [str(([noted], 1, True)), "(2, True)", "([], 0, True)", while_full]
    assert clients == "1"  # the asker's own: the channel left none open
