"""Our own publishing of `fan_out` says what Celery's says, and keeps what it may keep."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis

ROOT = Path(__file__).resolve().parents[2]
IDS = {"run_id": "r", "key": "0" * 32, "generation": 2}
# in a process of its own: a Celery app remembers the settings that it was first used with
OURS = "from tasks.publishing import publish_fan_out as publish; publish(**{})"
CELERYS = (
    "from tasks.pipeline import fan_out; "
    "fan_out.apply_async(kwargs={}, task_id='" + "0" * 32 + ":2:fan_out', retry=False)"
)


def _published(url, program):
    env = {"PATH": "/usr/bin:/bin", "REDIS_URL": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program.replace("{}", repr(IDS))]
    subprocess.run(command, cwd=ROOT, env=env, check=True)
    client = redis.Redis.from_url(url)
    message = json.loads(client.rpop("toolworker"))
    assert client.llen("toolworker") == 0
    message["body"] = json.loads(message["body"])
    return message


@pytest.fixture
def url(own_redis_server):
    return own_redis_server().url


def test_the_message_is_the_one_that_celery_would_publish(url):
    ours, celerys = _published(url, OURS), _published(url, CELERYS)
    for message in (ours, celerys):
        assert message["properties"].pop("delivery_tag")
        message["properties"].pop("reply_to")  # where results would go
        assert "@" in message["headers"].pop("origin")
    assert ours == celerys


def test_the_message_names_its_run_for_whoever_searches_flower(url):
    headers = _published(url, OURS)["headers"]
    assert headers["id"] == headers["root_id"] == f"{IDS['key']}:2:fan_out"
    assert headers["kwargsrepr"] == "{'run_id': 'r', 'key': '" + "0" * 32 + "', 'generation': 2}"
