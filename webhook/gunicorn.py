"""
gunicorn's configuration for the receiver.

    gunicorn -c python:webhook.gunicorn 'webhook:create_app()'

It stands behind a proxy that sends it whole requests: nginx, in docker-compose.yml.
"""

import gc
import socket
import struct
from typing import Any

STALL_S = 10
"""Longest silence within a request; Genesys itself gives up on us after 10 s."""

bind = "127.0.0.1:8000"
worker_class = "gthread"
workers = 2  # one is left while the other is replaced; a delivery costs about 2 ms of one CPU
threads = 32  # each waits about 1 ms for the ledger, 0.6 s at most; a stalled body holds one
# Each costs a socket. Many systems let a process open 1,024 files; the worker's own (Redis for each
# thread, logs, pipes) are some 100.
worker_connections = 800
backlog = 512  # connections that wait to be taken; the kernel's somaxconn may be lower
timeout = 30  # s; a worker that stops answering its parent is replaced
graceful_timeout = 15  # s; above the 10 s after which a stalled request ends
# s; longer than any proxy keeps an idle connection (nginx 60, Caddy 120, Google's 600): the side
# that closes first must be the proxy, or a delivery meets a connection that is just being closed
keepalive = 620
# The proxy bounds these, and refuses as JSON; its own limits are lower (ops/proxy/nginx.conf).
limit_request_line = 8190  # bytes
limit_request_fields = 4500
limit_request_field_size = 8190  # bytes
forwarder_headers = ""  # by default a proxy on this machine may move addresses: SCRIPT_NAME
# Not preloaded: sockets to Redis must be made after the fork.
preload_app = False
control_socket_disable = True  # it would want a writable home folder


def on_starting(arbiter: Any) -> None:
    """Refuse to start, before the port is open; a worker that refuses is only started again."""
    if arbiter.cfg.is_ssl:
        raise SystemExit("TLS ends at the proxy before the receiver; see docs/security.md")
    # here, since gunicorn reads this file for its settings alone, too
    from runtime import logs, metrics, settings
    from webhook import intake

    intake.keep()
    if settings.load().metrics_port:
        logs.configure()
        try:
            metrics.serve_from(settings.load())
        except settings.SettingsError as mistake:
            raise SystemExit(f"the receiver cannot start:\n{mistake}") from mistake


def on_reload(arbiter: Any) -> None:
    """On SIGHUP let new workers have the tools as they are now, or the old ones for a mistake."""
    from webhook import intake

    intake.reload()


def when_ready(arbiter: Any) -> None:
    """
    Keep what was imported out of the workers' garbage collection.

    The first full collection of a worker would touch every object, and copy the pages that it
    shares with its parent: 11 MB more for each, after some 500 deliveries.
    """
    gc.collect()
    gc.freeze()


def post_fork(arbiter: Any, worker: Any) -> None:
    """
    End a read after `STALL_S` of silence: connections inherit it from the listening socket.

    gunicorn 27.0.1 waits without end for the rest of a request that has begun, and holds a thread.
    """
    for listener in arbiter.LISTENERS:
        limit = struct.pack("ll", STALL_S, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def child_exit(arbiter: Any, worker: Any) -> None:
    """Drop the live gauges of a worker that ended."""
    from runtime import metrics

    metrics.process_ended(worker.pid)
