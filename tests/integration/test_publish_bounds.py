"""A publish to a stalled Redis ends within 0.6 s, and not without any one of its settings."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.timing import until_unstalled
from webhook import gunicorn

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, signal, sys, threading, time
from tasks.app import app, publish_fan_out

app.conf.update(app.conf["RECEIVER"])
without = sys.argv[2]
if without:
    options = dict(app.conf.broker_transport_options)
    for name in without.split(","):
        del options[name]
    app.conf.broker_transport_options = options

def publish():
    began = time.monotonic()
    try:
        publish_fan_out("r", "0" * 32, 0)
    except Exception:
        pass
    times.append(time.monotonic() - began)

times = []
publish()
os.kill(int(sys.argv[1]), signal.SIGSTOP)
del times[:]
thread = threading.Thread(target=lambda: [publish() for _ in range(4)], daemon=True)
thread.start()
thread.join(6)
print(json.dumps(times + [99.0] * (4 - len(times))), flush=True)
os._exit(0)
"""


def _run(program, server, argument):
    env = {**os.environ, "REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(server.pid), argument],
            env=env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
    finally:
        os.kill(server.pid, signal.SIGCONT)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_publish_to_a_stalled_redis_ends_within_0_6_s(own_redis_server):
    # 0.5 s by the settings; to some of four a busy machine adds; one proves nothing, since
    # a retry inside the transport holds up those behind the first
    assert sorted(_run(PROGRAM, own_redis_server(), ""))[1] < 0.6


@pytest.mark.parametrize("without", ["max_retries", "socket_timeout,socket_connect_timeout"])
def test_without_one_of_the_settings_it_does_not(own_redis_server, without):
    assert max(_run(PROGRAM, own_redis_server(), without)) > 1


BURST = """
import json, os, signal, sys, threading, time
from tasks.app import limit_publishing, publish_fan_out

limit_publishing()

def publish():
    began = time.monotonic()
    try:
        publish_fan_out("r", "0" * 32, 0)
    except Exception:
        pass
    times.append(time.monotonic() - began)

def burst():
    threads = [threading.Thread(target=publish) for _ in range(int(sys.argv[2]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

times = []
burst()
os.kill(int(sys.argv[1]), signal.SIGSTOP)
del times[:]
burst()
print(json.dumps(max(times)), flush=True)
os._exit(0)
"""


def test_all_threads_of_a_receiver_publish_to_a_stalled_redis_within_a_second(own_redis_server):
    def attempt():
        longest_s = _run(BURST, own_redis_server(), str(gunicorn.threads))
        return longest_s < 1 or None  # 0.5 s by the settings, and what a busy machine adds

    until_unstalled(attempt, tries=3)
