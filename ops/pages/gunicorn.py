"""gunicorn's configuration for the pages: one process, because their caches are in its memory."""

worker_class = "gthread"
workers = 1
threads = 8
timeout = 30  # s
graceful_timeout = 5  # s
keepalive = 30  # s
limit_request_line = 8190  # bytes
forwarder_headers = ""  # a proxy on this machine may move nothing: SCRIPT_NAME
preload_app = False
control_socket_disable = True  # it would want a writable home folder
