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


def _published(url, program, ids=IDS):
    env = {"PATH": "/usr/bin:/bin", "REDIS_URL": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program.replace("{}", repr(ids))]
    subprocess.run(command, cwd=ROOT, env=env, check=True)
    client = redis.Redis.from_url(url)
    message = json.loads(client.rpop("toolworker"))
    assert client.llen("toolworker") == 0
    message["body"] = json.loads(message["body"])
    return message


@pytest.fixture
def url(own_redis_server):
    return own_redis_server().url


@pytest.mark.parametrize("run_id", ["r", 'r"%(id)s% "@id" é'])
def test_the_message_is_the_one_that_celery_would_publish(url, run_id):
    ours, celerys = (_published(url, of, {**IDS, "run_id": run_id}) for of in (OURS, CELERYS))
    for message in (ours, celerys):
        assert message["properties"].pop("delivery_tag")
        message["properties"].pop("reply_to")  # where results would go
        assert "@" in message["headers"].pop("origin")
    assert ours == celerys


def test_the_message_names_its_run_for_whoever_searches_flower(url):
    headers = _published(url, OURS)["headers"]
    assert headers["id"] == headers["root_id"] == f"{IDS['key']}:2:fan_out"
    assert headers["kwargsrepr"] == "{'run_id': 'r', 'key': '" + "0" * 32 + "', 'generation': 2}"


ACCEPT = """
import json
from tasks.door import open_door
call = {"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}}
door = open_door()
print(json.dumps([door("r", [call]).key for _ in range(2)]))
"""


def _accepted(url, ledger_url):
    env = {"PATH": "/usr/bin:/bin", "REDIS_URL": url, "LEDGER_URL": ledger_url}
    env.update(PYTHONPATH=str(ROOT), WEBHOOK_SECRETS="s" * 32)
    command = [sys.executable, "-c", ACCEPT]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])[0]


def test_where_ledger_and_broker_are_one_redis_a_run_and_its_message_take_one_step(url):
    key = _accepted(url, url)
    client = redis.Redis.from_url(url)
    (message,) = client.lrange("toolworker", 0, -1)  # the delivery that came again left none
    assert json.loads(message)["headers"]["id"] == f"{key}:0:fan_out"
    assert client.hget(f"tw:run:{key}", "state") == b"accepted"
    assert "cmdstat_lpush" in client.info("commandstats")
    assert client.info("commandstats")["cmdstat_eval"]["calls"] == 1


def test_where_they_are_two_the_message_goes_to_the_broker(url, own_redis_server):
    ledger_url = own_redis_server().url
    key = _accepted(url, ledger_url)
    (message,) = redis.Redis.from_url(url).lrange("toolworker", 0, -1)
    assert json.loads(message)["headers"]["id"] == f"{key}:0:fan_out"
    ledger = redis.Redis.from_url(ledger_url)
    assert ledger.exists(f"tw:run:{key}") == 1
    assert ledger.exists("toolworker") == 0


BEGIN = """
import json
from tasks import pipeline, worker
from tasks.pipeline import call
from runtime import settings
values = settings.load("REDIS_URL")
ledger = worker.open_ledger(values, timeout_s=5, retries=0)
queue = worker.shared_queue(values)
calls = [{"id": f"c{i}", "type": "function", "function": {"name": "n", "arguments": "{}"}}
         for i in range(9)]
key = ledger.accept(RUN_ID, calls).key
ids = {"run_id": RUN_ID, "key": key, "generation": 0}
for _ in range(2):
    message = pipeline._call_envelope(ids)
    begun = ledger.begin(key, 0, message="fan_out", queue=queue, call_message=message)
    print(json.dumps([begun.round, begun.missing]))
for index in (1, 2, 3, 4, 5):
    call.apply_async(kwargs={**ids, "index": index}, task_id=f"{key}:0.1:call:{index}", retry=False)
"""


@pytest.mark.parametrize("run_id", ["r", 'r"%(id)s% "@id" %1 é'])
def test_the_calls_of_a_run_that_begins_are_published_by_that_step(url, run_id):
    env = {"PATH": "/usr/bin:/bin", "REDIS_URL": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", f"RUN_ID = {run_id!r}\n{BEGIN}"]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    # asked again, nothing is missing that is not in hand
    first, again = map(json.loads, done.stdout.splitlines())
    assert (first, again[1]) == ([1, [1, 2, 3, 4, 5]], [])
    messages = [json.loads(text) for text in redis.Redis.from_url(url).lrange("toolworker", 0, -1)]
    tags = {message["properties"].pop("delivery_tag") for message in messages}
    assert len(tags) == 10
    for message in messages:
        message["body"] = json.loads(message["body"])
        message["properties"].pop("reply_to")
        message["headers"].pop("origin")
    celerys, ours = messages[:5], messages[5:]
    assert ours == celerys
