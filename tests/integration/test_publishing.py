"""The receiver publishes one message a run, and loads neither database drivers nor tasks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis

ROOT = Path(__file__).resolve().parents[2]
# in a process of its own: a Celery app remembers the settings that it was first used with
ACCEPT = """
import json, sys
from webhook.intake import Intake
call = {"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}}
intake = Intake()
keys = [intake.accept({"run_id": "r", "tool_calls": [call]}, {}).key for _ in range(2)]
ours = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([keys[0], ours, sorted(name for name in sys.modules if name.startswith("tasks"))]))
"""


@pytest.fixture
def accepted(own_redis_server):
    """Key, loaded packages and modules of tasks of a process that accepted one delivery twice."""
    broker, ledger = own_redis_server(), own_redis_server()
    env = {"PATH": "/usr/bin:/bin", "REDIS_URL": broker.url, "LEDGER_URL": ledger.url}
    env.update(PYTHONPATH=str(ROOT), WEBHOOK_SECRETS="s" * 32)
    command = [sys.executable, "-c", ACCEPT]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    return *said, redis.Redis.from_url(broker.url), redis.Redis.from_url(ledger.url)


def test_a_delivery_becomes_one_message_and_one_that_comes_again_none(accepted):
    key, _, _, broker, ledger = accepted
    (message,) = (json.loads(text) for text in broker.lrange("toolworker", 0, -1))
    assert message["headers"]["task"] == "fan_out"
    assert message["headers"]["id"] == message["headers"]["root_id"] == f"{key}:0:fan_out"
    ids = {"run_id": "r", "key": key, "generation": 0}
    assert json.loads(message["body"])[:2] == [[], ids]
    assert message["headers"]["kwargsrepr"] == repr(ids)  # by which Flower finds it
    assert ledger.hget(f"tw:run:{key}", "state") == b"accepted"


def test_the_receiver_loads_neither_drivers_nor_tasks(accepted):
    _, packages, tasks, *_ = accepted
    assert not {"psycopg", "requests", "genesys"} & set(packages)
    assert tasks == ["tasks", "tasks.app", "tasks.backend", "tasks.compat", "tasks.dispatcher"]
