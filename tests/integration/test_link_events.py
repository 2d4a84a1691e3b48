"""Events of links: no call waits for a broker that hangs or is down, and what it takes arrives."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# in a process of its own: a Celery app remembers the settings that it was first used with
PROGRAM = """
import json, os, signal, sys, time
from runtime import logs
from tasks import events
from tasks.app import app
logs.configure()

def send():
    began = time.monotonic()
    for _ in range(30):  # more than Celery's dispatcher keeps by default
        kept.send("task-started", "host", uuid="u")
    times.append(time.monotonic() - began)

times = []
kept = events.LinkEvents(app)
if sys.argv[2] == "warm":
    send()
    kept.flush()
os.kill(int(sys.argv[1]), getattr(signal, sys.argv[3]))
del times[:]
for _ in range(4):
    send()
    time.sleep(events.FLUSH_EVERY_S)
print(json.dumps(max(times)), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("connection", ["cold", "warm"])
@pytest.mark.parametrize("sent", ["SIGSTOP", "SIGKILL"])
def test_no_call_waits_for_a_broker_that_takes_no_events(own_redis_server, connection, sent):
    server = own_redis_server()
    env = {**os.environ, "REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(server.pid), connection, sent]
    try:
        done = subprocess.run(
            command, env=env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
    finally:
        if sent == "SIGSTOP":
            os.kill(server.pid, signal.SIGCONT)
    assert json.loads(done.stdout.splitlines()[-1]) < 0.4  # a publish to it takes 0.5 s
