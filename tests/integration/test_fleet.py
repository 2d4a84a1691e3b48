"""Length of the broker's queues, as operators see it."""

import os
import subprocess
import sys
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parents[2]


def test_messages_in_every_queue_that_workers_take_from_are_counted(own_redis_server):
    server = own_redis_server()
    for name in ("toolworker", "toolworker.calls", "toolworker.further", "another"):
        redis.Redis.from_url(server.url).lpush(name, "message")
    # in a process of its own: a Celery app remembers the settings that it was first used with
    command = [sys.executable, "-c", "from tasks import fleet; print(fleet.queue_length())"]
    env = {**os.environ, "REDIS_URL": server.url}
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "3"
