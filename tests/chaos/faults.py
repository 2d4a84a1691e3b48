"""The faults, one function each: break something under traffic, mend it, return."""

import os
import signal
import time
from pathlib import Path

import redis

FAULTS = {}


def fault(name, *, smoke=False, **options):
    """Register a fault under the name of its row; *options* are the stack's."""

    def register(function):
        FAULTS[name] = (function, smoke, options)
        return function

    return register


def _children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _kill(pid, sent=signal.SIGKILL):
    try:
        os.kill(pid, sent)
    except ProcessLookupError:
        pass  # it was quicker


def _replace_worker(service, rng, sent=signal.SIGKILL):
    _kill(rng.choice(service.stack.worker_pids), sent)
    service.stack.start_worker()


@fault("nothing", smoke=True)
def nothing(service, rng):
    time.sleep(5)


@fault("worker stopped, then killed, between BRPOP and unacked")
def brpop_gap(service, rng):
    for _ in range(3):
        pid = rng.choice(service.stack.worker_pids)
        _kill(pid, signal.SIGSTOP)
        time.sleep(1.0)  # its open BRPOP is answered with messages that it never reads
        _kill(pid)
        service.stack.start_worker()


@fault("a child of a worker killed, 20 times at random", smoke=True)
def child_killed(service, rng):
    for _ in range(20):
        time.sleep(rng.uniform(0.1, 0.5))
        children = [c for pid in service.stack.worker_pids for c in _children(pid)]
        if children:
            _kill(rng.choice(children))


def _at_point(point):
    def kill(service, rng):
        folder = Path(service.stack.env["TOOLWORKER_CHAOS_DIR"])
        for _ in range(3):
            (folder / point).touch()
            service.wait_for(lambda: not (folder / point).exists(), within_s=60)
            time.sleep(rng.uniform(0.2, 0.8))

    return kill


for _moment in (
    "before-begin", "after-begin", "after-start", "before-record", "after-record",
    "before-run_in_place", "after-run_in_place",
    "before-claim", "after-claim", "after-post", "after-finish", "after-accept",
):  # fmt: skip
    _who = "receiver" if "accept" in _moment else "child"
    fault(f"{_who} killed {_moment.replace('-', ' ', 1)}", smoke=_moment == "after-record")(
        _at_point(_moment)
    )


@fault("whole worker killed, 50 times at random")
def worker_killed(service, rng):
    for _ in range(50):
        time.sleep(rng.uniform(0.0, 1.0))
        _replace_worker(service, rng)


@fault("worker told to end (SIGTERM), 5 times, queries running", REMAP_SIGTERM="SIGQUIT")
def worker_told(service, rng):
    for _ in range(5):
        _replace_worker(service, rng, signal.SIGTERM)
        time.sleep(rng.uniform(0.2, 1.0))


@fault("all reconcilers and one worker killed; reconcilers back after 5 s")
def reconcilers_killed(service, rng):
    for child in service.stack.children("reconciler"):
        _kill(child.pid)
    _replace_worker(service, rng)
    time.sleep(5)
    service.stack.start_reconciler()


@fault("gunicorn worker killed, 5 times at random")
def receiver_killed(service, rng):
    (webhook,) = service.stack.children("webhook")
    for _ in range(5):
        time.sleep(rng.uniform(0.3, 1.0))
        children = _children(webhook.pid)
        if children:
            _kill(rng.choice(children))


@fault("Redis restarted (SIGTERM), away 0.4 s and 3.5 s", smoke=True)
def redis_restarted(service, rng):
    for away_s in (0.4, 3.5):
        service.stack.redis.stop()
        time.sleep(away_s)
        service.stack.redis.start()
        time.sleep(3)


@fault("Redis killed, back from its append-only file")
def redis_killed(service, rng):
    for _ in range(3):
        service.stack.redis.stop(signal.SIGKILL)
        time.sleep(rng.uniform(0.1, 1.0))
        service.stack.redis.start()
        time.sleep(3)


@fault("Redis stalled for 10 s")
def redis_stalled(service, rng):
    _kill(service.stack.redis.pid, signal.SIGSTOP)
    time.sleep(10)
    _kill(service.stack.redis.pid, signal.SIGCONT)


@fault("all Redis connections cut each 0.5 s for 10 s")
def client_kill(service, rng):
    client = redis.Redis.from_url(service.stack.env["REDIS_URL"])
    for _ in range(20):
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.5)


@fault("Redis out of memory for 4 s")
def out_of_memory(service, rng):
    client = redis.Redis.from_url(service.stack.env["REDIS_URL"])
    client.config_set("maxmemory", 1)
    time.sleep(4)
    client.config_set("maxmemory", 0)


@fault("every queued message doubled, 10 times", smoke=True)
def doubled(service, rng):
    client = redis.Redis.from_url(service.stack.env["REDIS_URL"])
    for _ in range(10):
        for message in client.lrange("toolworker", 0, -1):
            client.lpush("toolworker", message)
        time.sleep(0.3)


@fault("Postgres stopped for 30 s")
def postgres_stopped(service, rng):
    service.stack.postgres.stop()
    time.sleep(30)
    service.stack.postgres.start()


@fault("Postgres stalled for 8 s")
def postgres_stalled(service, rng):
    postmaster = service.stack.postgres.pid
    stalled = [postmaster, *_children(postmaster)]
    for pid in stalled:
        _kill(pid, signal.SIGSTOP)
    time.sleep(8)
    for pid in stalled:
        _kill(pid, signal.SIGCONT)


@fault("workers started while Postgres is away for 6 s")
def postgres_late(service, rng):
    service.stack.postgres.stop()
    _replace_worker(service, rng)
    time.sleep(6)
    service.stack.postgres.start()


@fault("Genesys answers 503 for 60 s")
def genesys_away(service, rng):
    service.inject(submit=[503] * 100_000)
    time.sleep(60)
    service.inject(submit=[])


@fault("Genesys drops requests after reading them, for 20 s", smoke=True)
def genesys_drops(service, rng):
    service.inject(submit=["drop"] * 100_000)
    time.sleep(20)
    service.inject(submit=[])


@fault("Genesys takes 10 submissions and answers 12 s late")
def genesys_late(service, rng):
    service.inject(submit=[{"status": 200, "delay_s": 12}] * 10)
    time.sleep(20)


@fault("Genesys does not answer 6 requests")
def genesys_silent(service, rng):
    service.inject(submit=["timeout"] * 6)
    time.sleep(15)


@fault("token refused, then its endpoint away for 20 s")
def token_away(service, rng):
    service.inject(submit=[401] * 20, token=[503] * 100_000)
    time.sleep(20)
    service.inject(submit=[], token=[])


@fault("Genesys asks to wait 3 s, 40 times (429)")
def genesys_throttles(service, rng):
    service.inject(submit=[{"status": 429, "retry_after": 3}] * 40)
    time.sleep(8)
