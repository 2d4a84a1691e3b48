"""
How gunicorn serves the receiver.

    gunicorn -c python:webhook.gunicorn 'webhook:create_app()'
"""

import gc
import os
from contextlib import suppress
from typing import Any

bind = "127.0.0.1:8000"
# a thread gets requests that have come whole, so a slow sender holds none (webhook/worker.py)
worker_class = "webhook.worker.WholeRequestWorker"
workers = 2  # one is left while the other is replaced; a delivery costs about 1 ms of one CPU
threads = 8  # each waits about 1 ms for the ledger, and 0.4 s at most
# Each slow one costs a socket and what it has sent, 64 MB in all. Many systems let a process open
# 1,024 files; the worker's own (Redis for each thread, logs, pipes) are some 50.
worker_connections = 900
backlog = 512  # connections that wait to be taken; the kernel's somaxconn may be lower
timeout = 30  # s; a worker that stops answering its parent is replaced
graceful_timeout = 15  # s; above the 10 s in which a request must have come whole
keepalive = 5  # s; Genesys and proxies keep connections open between deliveries
limit_request_line = 2048  # bytes; the longest address has 19
limit_request_fields = 50  # a delivery through two proxies has about 20
limit_request_field_size = 8190  # bytes; the head as a whole has 32,768 (webhook/arrival.py)
forwarder_headers = ""  # by default a proxy on this machine may move addresses: SCRIPT_NAME
# Not preloaded: sockets to Redis must be made after the fork.
preload_app = False
control_socket_disable = True  # it would want a writable home folder
accesslog = None  # one line per delivery comes from the app, without headers


def on_starting(arbiter: Any) -> None:
    """Refuse to start, before the port is open; a worker that refuses is only started again."""
    if arbiter.cfg.is_ssl:
        raise SystemExit("TLS ends at the proxy before the receiver; see docs/security.md")
    # here, since gunicorn reads this file for its settings alone, too
    from webhook import intake

    intake.check()
    from runtime import logs, metrics, settings

    if settings.load().metrics_port:
        logs.configure()
        try:
            metrics.serve_from(settings.load())
        except settings.SettingsError as mistake:
            raise SystemExit(f"the receiver cannot start:\n{mistake}") from mistake


def pre_fork(arbiter: Any, worker: Any) -> None:
    """Find the CPU that the fewest of the living workers keep to."""
    worker.cpu = None
    with suppress(OSError, AttributeError):  # a sandbox may forbid it; not every system has it
        taken = [other.cpu for other in arbiter.WORKERS.values()]
        worker.cpu = min(sorted(os.sched_getaffinity(0)), key=taken.count)


def post_fork(arbiter: Any, worker: Any) -> None:
    """
    Keep this worker to its CPU, where there are no more CPUs than workers.

    Its threads take turns at one interpreter, and the kernel leaves some of them to wait in the
    one CPU's queue while the other is idle: 12 % more deliveries a second on 2 CPUs.
    """
    if worker.cpu is None or len(os.sched_getaffinity(0)) > arbiter.num_workers:
        return
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setaffinity(0, {worker.cpu})


def when_ready(arbiter: Any) -> None:
    """
    Keep what was imported out of the workers' garbage collection.

    The first full collection of a worker would touch every object, and copy the pages that it
    shares with its parent: 11 MB more for each, after some 500 deliveries.
    """
    gc.collect()
    gc.freeze()
    # objects; a delivery makes some hundreds and leaves 8 in circles, so look for them rarely
    gc.set_threshold(20_000)
