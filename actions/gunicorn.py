"""
gunicorn's configuration for the data actions.

    gunicorn -c python:actions.gunicorn 'actions:create_app()'

It stands behind a proxy that sends it whole requests: nginx, in docker-compose.yml.
"""

import socket
import struct
from typing import Any

bind = "127.0.0.1:8001"
worker_class = "gthread"
workers = 1  # one bound on what runs at once; Genesys sends 2,500 a minute, 42 a second
worker_connections = 1000
timeout = 30  # s; a worker that stops answering its parent is replaced
graceful_timeout = 15  # s; above the 10 s that an action takes by default
# s; longer than any proxy keeps an idle connection (nginx 60, Caddy 120, Google's 600): the side
# that closes first must be the proxy, or a call meets a closed connection: a 500 for Genesys
keepalive = 620
# The proxy bounds these, and refuses as JSON; its own limits are lower (ops/proxy/nginx.conf).
limit_request_line = 8190  # bytes
limit_request_fields = 4500
limit_request_field_size = 8190  # bytes
forwarder_headers = ""  # by default a proxy on this machine may move addresses: SCRIPT_NAME
# Not preloaded: connections to Postgres must be made after the fork.
preload_app = False
control_socket_disable = True  # it would want a writable home folder
accesslog = None  # one line per answer comes from the app, without headers

STALL_S = 10
"""Longest silence within a request."""
SPARE_THREADS = 8
"""Threads beyond the calls that may run at once; they answer 429, 401 and the like."""


def on_starting(arbiter: Any) -> None:
    """Refuse to start, before the port is open; a worker that refuses is only started again."""
    from actions.app import gauge, keep
    from runtime import logs, metrics, settings

    values, loaded = keep()
    arbiter.cfg.set("threads", values.actions_at_once + SPARE_THREADS)
    if values.metrics_port:
        logs.configure()
        try:
            metrics.serve_from(values, gauges=gauge)
        except settings.SettingsError as mistake:
            raise SystemExit(f"the data-action endpoint cannot start:\n{mistake}") from mistake
        for name in loaded.tools:
            metrics.count("tool_failures", 0, tool=name)


def on_reload(arbiter: Any) -> None:
    """On SIGHUP load the tools anew for the next workers; with a mistake the old tools stay."""
    from actions.app import reload

    # gunicorn has just read this file anew, where no number of threads is given
    arbiter.cfg.set("threads", reload().actions_at_once + SPARE_THREADS)


def post_fork(arbiter: Any, worker: Any) -> None:
    """
    End a read after `STALL_S` of silence: connections inherit it from the listening socket.

    gunicorn 27.0.1 waits without end for the rest of a request that has begun, and holds a thread.
    Those of a Unix socket inherit nothing: docker-compose.yml has one for nginx alone, which sends
    a request once it has it whole.
    """
    for listener in arbiter.LISTENERS:
        limit = struct.pack("ll", STALL_S, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
