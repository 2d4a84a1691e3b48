"""
The faults, one function each: break something under traffic, repair it, return.

One that loses what the ledger held returns when that was (seconds since the epoch): runs that were
accepted before and not yet answered are counted apart.
"""

import os
import signal
import time
from pathlib import Path

FAULTS = {}


def fault(name, *, smoke=False, **options):
    """Register a fault under the name of its row; *options* are the stack's."""

    def register(function):
        FAULTS[name] = (function, smoke, options)
        return function

    return register


def children_of(pid):
    """The processes that *pid* has started and that have not ended."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def send_signal(pid, sent=signal.SIGKILL):
    """Send a signal, by default the one that ends at once; a process that has ended is no error."""
    try:
        os.kill(pid, sent)
    except ProcessLookupError:
        pass  # it was quicker


def _replace_worker(service, rng, sent=signal.SIGKILL):
    send_signal(rng.choice(service.stack.worker_pids), sent)
    service.stack.start_worker()


@fault("nothing", smoke=True)
def nothing(service, rng):
    time.sleep(5)


@fault("worker stopped, then killed, between BRPOP and unacked")
def brpop_gap(service, rng):
    for _ in range(3):
        pid = rng.choice(service.stack.worker_pids)
        send_signal(pid, signal.SIGSTOP)
        time.sleep(1.0)  # its open BRPOP is answered with messages that it never reads
        send_signal(pid)
        service.stack.start_worker()


@fault("a child of a worker killed, 20 times at random", smoke=True)
def child_killed(service, rng):
    for _ in range(20):
        time.sleep(rng.uniform(0.1, 0.5))
        children = [c for pid in service.stack.worker_pids for c in children_of(pid)]
        if children:
            send_signal(rng.choice(children))


def _at_point(point):
    def kill(service, rng):
        folder = Path(service.stack.env["TOOLWORKER_CHAOS_DIR"])
        for _ in range(3):
            (folder / point).touch()
            service.wait_for(lambda: not (folder / point).exists(), within_s=60)
            time.sleep(rng.uniform(0.2, 0.8))

    return kill


_MOMENTS = {
    "before-begin": "child killed before begin",
    "after-begin": "child killed between begin and the messages",
    "after-messages": "child killed between the messages and the first call",
    "after-start": "child killed after start",
    "after-validate": "child killed between validate and query",
    "before-record": "child killed before record",
    "after-record": "child killed between record and what follows",
    "before-submit": "child killed between query and submit",
    "before-claim": "child killed before claim",
    "after-claim": "child killed after claim",
    "after-post": "child killed after post",
    "after-finish": "child killed after finish",
    "after-accept": "receiver killed after accept",
}
for _moment, _row in _MOMENTS.items():
    fault(_row, smoke=_moment == "after-record")(_at_point(_moment))


@fault("whole worker killed, 50 times at random")
def worker_killed(service, rng):
    for _ in range(50):
        time.sleep(rng.uniform(0.0, 1.0))
        _replace_worker(service, rng)


@fault("worker stopped (SIGTERM), 5 times, queries running")
def worker_stopped(service, rng):
    for _ in range(5):
        _replace_worker(service, rng, signal.SIGTERM)
        time.sleep(rng.uniform(0.2, 1.0))


@fault("all reconcilers and one worker killed; reconcilers back after 5 s")
def reconcilers_killed(service, rng):
    for child in service.stack.children("reconciler"):
        send_signal(child.pid)
    _replace_worker(service, rng)
    time.sleep(5)
    service.stack.start_reconciler()


@fault("gunicorn worker killed, 5 times at random")
def receiver_killed(service, rng):
    (webhook,) = service.stack.children("webhook")
    for _ in range(5):
        time.sleep(rng.uniform(0.3, 1.0))
        children = children_of(webhook.pid)
        if children:
            send_signal(rng.choice(children))


@fault("Postgres stopped for 30 s")
def postgres_stopped(service, rng):
    service.stack.postgres.stop()
    time.sleep(30)
    service.stack.postgres.start()


@fault("Postgres stalled for 8 s")
def postgres_stalled(service, rng):
    postmaster = service.stack.postgres.pid
    stalled = [postmaster, *children_of(postmaster)]
    for pid in stalled:
        send_signal(pid, signal.SIGSTOP)
    time.sleep(8)
    for pid in stalled:
        send_signal(pid, signal.SIGCONT)


@fault("workers started while Postgres is away for 6 s")
def postgres_late(service, rng):
    service.stack.postgres.stop()
    _replace_worker(service, rng)
    time.sleep(6)
    service.stack.postgres.start()


@fault("Genesys answers 503 for 30 s")
def genesys_away(service, rng):
    service.inject(submit=[503] * 100_000)
    time.sleep(30)
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
