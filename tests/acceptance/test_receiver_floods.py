"""Senders that take more than their part cost nobody else an answer."""

import contextlib
import socket
import time

from tests.receiver import running_receiver, wait_for

SMALL_BUFFERS = """
import socket
from webhook.gunicorn import *

def when_ready(arbiter):
    for listener in arbiter.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
"""


def _deaf(receiver):
    """A connection that has room for a few answers, and never reads one."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    connection.connect(("127.0.0.1", receiver.port))
    connection.setblocking(False)
    return connection


def _ask_until_nobody_is_answered(receiver, deaf):
    def is_answered():
        return receiver.log().count("request.refused") == asked * len(deaf)

    asked = 0
    with contextlib.suppress(AssertionError):
        while True:
            for connection in deaf:
                connection.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
            asked += 1
            # whoever asked again before would be ended for being ahead of its answer
            wait_for(is_answered, within_s=0.2)


def test_senders_that_read_no_answer_do_not_hold_up_another(redis_server, tmp_path):
    # as if each had asked some hundreds of times before
    (tmp_path / "config.py").write_text(SMALL_BUFFERS)
    config = f"file:{tmp_path / 'config.py'}"
    with (
        running_receiver(tmp_path, redis_server.url, config=config) as receiver,
        contextlib.ExitStack() as connections,
    ):
        deaf = [connections.enter_context(_deaf(receiver)) for _ in range(40)]
        _ask_until_nobody_is_answered(receiver, deaf)
        began = time.monotonic()
        assert receiver.ask("GET", "/livez")[0] == 200
        assert time.monotonic() - began < 4
        assert "Traceback" not in receiver.log()
