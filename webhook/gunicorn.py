"""
How gunicorn serves the receiver.

    gunicorn -c python:webhook.gunicorn 'webhook:create_app()'
"""

bind = "127.0.0.1:8000"
worker_class = "gthread"  # a slow sender holds a thread, not a worker
workers = 2
threads = 8
timeout = 30  # s; a worker that stops answering its parent is replaced
graceful_timeout = 10  # s; a delivery takes milliseconds
keepalive = 5  # s; Genesys and proxies keep connections open between deliveries
limit_request_line = 2048
limit_request_fields = 50
# Not preloaded: sockets to Redis must be made after the fork.
preload_app = False
control_socket_disable = True  # it would want a writable home folder
accesslog = None  # one line per delivery comes from the app, without headers


def on_starting(_: object) -> None:
    """Refuse to start, before the port is open; a worker that refuses is only started again."""
    # here, since gunicorn reads this file for its settings alone, too
    from tasks.door import check_door

    check_door()
