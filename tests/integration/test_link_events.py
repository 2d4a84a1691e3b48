"""Task events of links: no call waits for a broker that hangs; events are kept for 15 s."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.timing import until_unstalled

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
    def attempt():
        server = own_redis_server()
        env = {**os.environ, "REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", PROGRAM, str(server.pid), connection, sent]
        try:
            done = subprocess.run(
                command, env=env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
            )
        finally:
            if sent == "SIGSTOP":
                os.kill(server.pid, signal.SIGCONT)
        # a publish to it takes 0.5 s, each time; a process that was stopped takes long once
        return json.loads(done.stdout.splitlines()[-1]) < 0.4 or None

    until_unstalled(attempt, tries=3)


OUTAGE = """
import os, signal, sys, time
from runtime import logs
from tasks import events
from tasks.app import app
logs.configure()

def receive(event):
    seen.append(event["uuid"])
    receiver.should_stop = event["uuid"] == "after"

seen, kept = [], events.LinkEvents(app)
connection = app.connection_for_read()
receiver = app.events.Receiver(connection, handlers={"task-started": receive})
capturing = receiver.itercapture(limit=None, timeout=60, wakeup=False)
next(capturing)  # subscribed
os.kill(int(sys.argv[1]), signal.SIGSTOP)
kept.send("task-started", "host", uuid="before")
time.sleep(2)  # several limits of half a second
kept.send("task-started", "host", uuid="meanwhile")
os.kill(int(sys.argv[1]), signal.SIGCONT)
kept.send("task-started", "host", uuid="after")
for _ in capturing:
    pass
print(*sorted(set(seen)), flush=True)
os._exit(0)
"""


def test_events_are_kept_while_a_broker_stalls_for_seconds(own_redis_server):
    server = own_redis_server()
    env = {**os.environ, "REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", OUTAGE, str(server.pid)]
    try:
        done = subprocess.run(
            command, env=env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
        )
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert done.stdout.splitlines()[-1].split() == ["after", "before", "meanwhile"]


LOSS = """
import threading
from runtime import logs
from tasks import events
from tasks.app import app
logs.configure()
events.KEPT_S = 0.5
kept = events.LinkEvents(app)
kept.send("task-started", "host", uuid="u")
threading.Event().wait()
"""


def test_events_that_a_broker_does_not_take_for_long_are_dropped_and_logged(free_port):
    url = f"redis://127.0.0.1:{free_port()}/0"
    env = {**os.environ, "REDIS_URL": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOSS]
    with subprocess.Popen(
        command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        watchdog = threading.Timer(120, program.kill)
        watchdog.start()
        first_line = program.stdout.readline()
        program.kill()
        watchdog.cancel()
    assert '"event": "events.lost"' in first_line
