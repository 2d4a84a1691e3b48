"""Senders that take more than their part cost nobody else an answer."""

import contextlib
import http.client
import json
import resource
import select
import socket
import time
import urllib.request

from tests.receiver import delivery, running_receiver, wait_for

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


def test_too_many_unfinished_bytes_are_taken_from_who_sends_the_most(
    redis_server, tmp_path, free_port
):
    head = b"POST /webhook/tool-calls HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    port = str(free_port())
    with (
        running_receiver(tmp_path, redis_server.url, METRICS_PORT=port) as receiver,
        contextlib.ExitStack() as connections,
    ):
        small, *large = (connections.enter_context(receiver.connect()) for _ in range(141))
        small.sendall(head)
        for connection in large:  # each of two workers holds 64
            connection.sendall(head + b" " * 999_000)
        wait_for(lambda: "request.ended" in receiver.log())
        for number in range(10):
            assert receiver.post(delivery(f"beside-large-{number}"))[0] == 202
        refused, _, _ = select.select(large, [], [], 10)
        answer = http.client.HTTPResponse(refused[0])
        answer.begin()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        sentence = "The receiver holds too much; send it again later."
        assert json.loads(answer.read()) == {"error": sentence}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as metrics:
            assert b'toolworker_deliveries_total{answer="503"}' in metrics.read()
        assert small not in select.select([small], [], [], 0)[0]


def test_a_megabyte_in_chunks_does_not_stay_in_memory(redis_server, tmp_path):
    path = "/webhook/tool-calls"
    body = b" " * 900_000
    with running_receiver(tmp_path, redis_server.url) as receiver:
        for number in range(150):
            assert receiver.ask("POST", path, iter([body]), chunked=True)[0] == 401
            if number == 49:
                warm_kb = receiver.memory_kb()
        assert receiver.memory_kb() - warm_kb < 20_000  # 43,000 when each waited for the collector


def test_more_connections_than_files_end_no_worker(redis_server, tmp_path):
    with (
        running_receiver(tmp_path, redis_server.url) as receiver,
        contextlib.ExitStack() as connections,
    ):
        workers = receiver.worker_pids()
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
        for _ in range(150):
            connections.enter_context(receiver.connect())
        wait_for(lambda: "connections.paused" in receiver.log())
        connections.close()
        wait_for(lambda: receiver.post(delivery("after-the-flood"))[0] == 202)
        assert receiver.worker_pids() == workers
        assert receiver.log().count("connections.paused") < 20  # and the loop did not spin
