"""nginx before the receiver: what it passes on, what it refuses as JSON, slow senders, TLS."""

import contextlib
import http.client
import itertools
import json
import subprocess
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.compose.project import PATH, SECRET, delivery, docker, signed
from tests.fuzz_receiver import fuzz_one

pytestmark = pytest.mark.compose

POST = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()
NOT_HTTP = {"error": "The request is not valid HTTP."}
NOWHERE = {"error": "There is nothing at this address."}
AWAY = {"error": "The receiver does not answer; send it again later."}
ECHO = """
import http.server, json
class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length).decode("latin-1")
        answer = {"headers": self.headers.items(), "body": body}
        self.send_response(202)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())
http.server.HTTPServer(("", 8000), Echo).serve_forever()
"""

DROPS = """
import socket
listening = socket.create_server(("", 8000))
while True:
    connection = listening.accept()[0]
    print("dropped", len(connection.recv(65536)), flush=True)
    connection.close()
"""
HANGS = """
import socket, time
with socket.create_server(("", 8000)):
    time.sleep(600)
"""


def _answer(connection):
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read()), response.headers


def _wait_for(condition, *, within_s):
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)
    return value


def test_a_delivery_goes_through_whole_or_in_chunks(compose):
    body = delivery("through-the-proxy")
    assert compose.ask("POST", PATH, body, signed(body))[0] == 202
    pieces = [body[:7], body[7:]]
    found = compose.ask("POST", PATH, iter(pieces), signed(body), chunked=True)
    assert (found[0], found[1]["duplicate"]) == (202, True)


def test_each_answer_has_one_request_id_the_senders_own_if_it_is_a_plain_one(compose):
    for path, sent in ((PATH, "from-outside"), ("/nowhere", "from-outside")):
        headers = compose.ask("POST", path, b"", {"X-Request-Id": sent})[2]
        assert headers.get_all("X-Request-Id") == ["from-outside"]
    (own,) = compose.ask("POST", PATH, b"", {"X-Request-Id": "a b"})[2].get_all("X-Request-Id")
    assert len(own) == 32
    proxy = compose.containers("proxy")[0]
    _wait_for(lambda: own in docker("logs", "--tail", "50", proxy), within_s=10)


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/metrics", "/refused", "//livez", "/webhook//tool-calls"]
)
def test_nothing_but_deliveries_is_open_to_the_public(compose, path):
    status, answer, headers = compose.ask("GET", path)
    assert (status, answer, headers["Content-Type"]) == (404, NOWHERE, "application/json")


@pytest.mark.parametrize(
    ("sent", "status", "answer"),
    [
        (b"\x16\x03 x\r\n\r\n", 400, NOT_HTTP),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400, NOT_HTTP),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400, NOT_HTTP),
        (b"GET / HTTP/1.1\r\n\r\n", 400, NOT_HTTP),
        (POST + b"Content-Length: x\r\n\r\n", 400, NOT_HTTP),
        (POST + b"Content-Length: +2\r\n\r\n{}", 400, NOT_HTTP),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, NOT_HTTP),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, NOT_HTTP),
        (POST + b"Transfer-Encoding: gzip\r\n\r\nxx", 400, NOT_HTTP),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, NOT_HTTP),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, NOT_HTTP),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405,
         {"error": "This address takes no such method."}),
        (POST + b"Content-Length: 1000001\r\n\r\n", 413,
         {"error": "The body is larger than 1000000 bytes."}),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nF4241\r\n ", 413,
         {"error": "The body is larger than 1000000 bytes."}),
        (b"GET /" + b"x" * 4_200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414,
         {"error": "The request line is longer than 4096 bytes."}),
        (POST + b"A: " + b"x" * 4_200 + b"\r\n\r\n", 431,
         {"error": "The headers are too large."}),
        (POST + b"A: bcd\r\n" * 3_000 + b"\r\n", 431, {"error": "The headers are too large."}),
    ],
)  # fmt: skip
def test_what_nginx_refuses_by_itself_is_json_and_no_5xx(compose, sent, status, answer):
    with compose.connect() as connection:
        connection.sendall(sent)
        found = _answer(connection)
    assert found[:2] == (status, answer)
    assert found[2]["Content-Type"] == "application/json"
    assert found[2]["Server"] == "nginx"


def test_plain_http_on_the_tls_port_is_400_as_json(compose):
    with compose.connect_plain() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _answer(connection)[:2] == (400, NOT_HTTP)


def test_no_head_that_nginx_passes_on_is_refused_by_gunicorn(compose):
    body = delivery("many-headers")
    headers = {**signed(body), **{f"A{number}": "" for number in range(900)}}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
    with compose.connect() as connection:
        connection.sendall(POST + head + body)
        assert _answer(connection)[0] == 202


@contextlib.contextmanager
def _beside_the_receiver(compose, *command):
    """Runs *command* where the proxy looks for a receiver; yields the container's name."""
    name = f"{compose.name}-{uuid.uuid4().hex[:6]}"
    try:
        docker("run", "-d", "--rm", "--name", name, "--network", f"{compose.name}_default",
               "--network-alias", "webhook", compose.image, *command)  # fmt: skip
        yield name
    finally:
        with contextlib.suppress(Exception):
            docker("kill", name)


@contextlib.contextmanager
def _in_place_of_the_receiver(compose, *command):
    """The same, with the receiver stopped meanwhile."""
    compose("stop", "webhook")
    try:
        with _beside_the_receiver(compose, *command) as name:
            yield name
    finally:
        compose("up", "-d", "--wait", "--no-recreate", "--no-deps", "webhook")
        _wait_for(lambda: _status(compose, "after-the-stand-in") == 202, within_s=10)


def _status(compose, run_id):
    with contextlib.suppress(OSError):
        return compose.post(run_id)


def test_the_body_goes_on_byte_for_byte_and_no_sender_speaks_for_the_proxy(compose):
    body = bytes(range(256)) * 3 + b'\r\n {"a" :\t1.50}\r\n'
    believed = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
                "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Protocol", "X-Forwarded-Ssl",
                "X-Forwarded-User", "X-Real-IP", "Script-Name", "Script_Name", "Path_Info",
                "Remote-User", "Remote_User", "Proxy", "X-Toolworker-Caller", "X_Toolworker_Caller",
                "X-Request-Start"]  # fmt: skip
    sent = dict.fromkeys(believed, "from-outside") | {"X_Of_A_Sender": "kept"}
    with _in_place_of_the_receiver(compose, "python", "-c", ECHO):
        found = _wait_for(
            lambda: (a := compose.ask("POST", PATH, body, sent))[0] == 202 and a[1], within_s=10
        )
    assert found["body"].encode("latin-1") == body
    headers = {name.lower(): value for name, value in found["headers"]}
    assert headers["x_of_a_sender"] == "kept"
    assert "from-outside" not in headers.values()
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-for"] == headers["x-real-ip"]


def _address(compose):
    (container,) = compose.containers("webhook")
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", "-f", template, container)


def _is_live(compose):
    with contextlib.suppress(subprocess.CalledProcessError, ValueError):
        (container,) = compose.containers("webhook")
        docker("exec", container, "toolworker", "healthy", "webhook")
        return True


def test_a_receiver_that_was_recreated_is_found_again_within_five_seconds(compose):
    assert compose.post("before-recreate") == 202
    old = _address(compose)
    compose("rm", "-s", "-f", "webhook")
    status, answer, headers = compose.ask("POST", PATH, b"{}")
    assert (status, answer, headers["Retry-After"]) == (503, AWAY, "5")
    # something else takes its address, so that the next one has another
    network = f"{compose.name}_default"
    other = docker("run", "-d", "--rm", "--network", network, compose.image, "sleep", "600")
    try:
        compose("up", "-d", "--no-deps", "webhook")
        _wait_for(
            lambda: _status(compose, "while-it-starts") == 202 or _is_live(compose), within_s=60
        )
        _wait_for(lambda: _status(compose, "after-recreate") == 202, within_s=5)
        assert _address(compose) != old
    finally:
        docker("kill", other)


def test_of_two_receivers_one_may_die_and_every_delivery_is_still_202(compose):
    compose("up", "-d", "--wait", "--no-recreate", "--no-deps", "--scale", "webhook=2", "webhook")
    try:
        _wait_for(lambda: len(_receivers(compose)) == 2, within_s=20)
        for number in range(100):
            if number == 30:
                docker("kill", compose.containers("webhook")[-1])
            assert compose.post(f"one-may-die-{number}") == 202
    finally:
        compose("up", "-d", "--wait", "--no-deps", "--scale", "webhook=1", "webhook")
        _wait_for(lambda: _status(compose, "one-again") == 202, within_s=10)


def test_a_delivery_that_a_receiver_drops_halfway_is_taken_by_another(compose):
    with _beside_the_receiver(compose, "python", "-c", DROPS) as stand_in:
        dropped = lambda: docker("logs", stand_in).count("dropped")  # noqa: E731
        _wait_for(lambda: compose.post("until-one-is-dropped") and dropped(), within_s=20)
        before = dropped()
        assert {compose.post(f"halfway-{number}") for number in range(30)} == {202}
        assert dropped() > before
    _wait_for(lambda: len(_receivers(compose)) == 1, within_s=20)


def test_a_receiver_that_hangs_is_503_with_when_to_try_again(compose):
    with _in_place_of_the_receiver(compose, "python", "-c", HANGS):
        hung = lambda: '"504"' in docker("logs", compose.containers("proxy")[0])  # noqa: E731
        _wait_for(lambda: compose.ask("POST", PATH, b"{}") and hung(), within_s=60)
        status, answer, headers = compose.ask("POST", PATH, b"{}")
    assert (status, answer, headers["Retry-After"]) == (503, AWAY, "5")


def _receivers(compose):
    """The receivers that took the last deliveries, as nginx's log names them."""
    compose.post("spread")
    lines = docker("logs", "--tail", "10", compose.containers("proxy")[0]).splitlines()
    return {json.loads(line)["receiver"] for line in lines if '"202"' in line}


class _Slow(threading.Thread):
    """Connections that send a byte a second, half of them within the head, half in a body."""

    def __init__(self, connections):
        super().__init__(daemon=True)
        self.is_over = threading.Event()
        self._connections = connections

    def run(self):
        while not self.is_over.wait(1):
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.sendall(b"X")


def test_slow_and_deaf_senders_hold_up_nobody(compose):
    with contextlib.ExitStack() as connections:
        slow = [connections.enter_context(compose.connect()) for _ in range(200)]
        for number, connection in enumerate(slow):
            head = POST + b"Content-Length: 1000000\r\n\r\n" if number % 2 else POST + b"A: "
            connection.sendall(head)
        dripping = _Slow(slow)
        dripping.start()
        for _ in range(200):
            deaf = connections.enter_context(compose.connect(receives=4096))
            # more answers than its side takes, and nginx for it
            deaf.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert compose.post("behind-the-deaf") == 202
        took_ms = _at_twenty_a_second(compose, seconds=20)
        dripping.is_over.set()
        dripping.join()
    assert len(took_ms) == 400
    assert sorted(took_ms)[int(len(took_ms) * 0.99)] < 100


def test_of_one_address_1000_requests_are_under_way_and_the_next_is_503(compose):
    slow = []
    dripping = _Slow(slow)
    with contextlib.ExitStack() as connections:
        connections.callback(dripping.join)
        connections.callback(dripping.is_over.set)
        dripping.start()

        def send_slowly(count):
            for _ in range(count):
                slow.append(connections.enter_context(compose.connect()))
                slow[-1].sendall(POST + b"Content-Length: 1000000\r\n\r\n")

        send_slowly(999)
        assert compose.post("the-thousandth") == 202
        send_slowly(1)
        _wait_for(lambda: _status(compose, "one-more") == 503, within_s=10)
        status, answer, headers = compose.ask("POST", PATH, b"{}")
        assert (status, answer, headers["Retry-After"]) == (503, AWAY, "5")
    _wait_for(lambda: _status(compose, "behind-them") == 202, within_s=10)


def _at_twenty_a_second(compose, *, seconds):
    """Milliseconds to each 202, from when its delivery was due; a new connection for each."""
    turns = itertools.count()
    began = time.monotonic()

    def send(_):
        took_ms = []
        while (turn := next(turns)) < seconds * 20:
            due = began + turn / 20
            time.sleep(max(0.0, due - time.monotonic()))
            assert compose.post(f"beside-slow-{turn}") == 202
            took_ms.append((time.monotonic() - due) * 1000)
        return took_ms

    with ThreadPoolExecutor(8) as senders:
        return [ms for each in senders.map(send, range(8)) for ms in each]


def test_no_mutated_delivery_is_a_5xx_but_503_or_harms_the_receiver(compose):
    (container,), (proxy,) = compose.containers("webhook"), compose.containers("proxy")
    processes = _gunicorn(container)
    statuses, of_valid = Counter(), Counter()
    memory_kb = []
    with ThreadPoolExecutor(16) as senders:

        def send(number):
            return fuzz_one(compose.connect, 11, number, secret=SECRET.decode(), closes=False)

        for first in range(0, 10_000, 2_000):
            for status, is_valid, _ in senders.map(send, range(first, first + 2_000)):
                statuses[status] += 1
                of_valid[status] += is_valid
            memory_kb.append((_memory_kb(container), _memory_kb(proxy)))
    assert {status for status in statuses if status and status >= 500} <= {503}
    assert {202, 400, 401} <= set(statuses)
    assert set(+of_valid) <= {202, 503}  # 503: the workers are behind
    assert of_valid[202] > 1_000
    assert statuses[None] < 1_000  # heads and bodies that never end
    assert _gunicorn(container) == processes
    print(f"kB of receiver and proxy after each 2,000: {memory_kb}")  # noqa: T201
    # each worker grows by 4,000 until it has seen everything, which may be after the first fifth
    assert memory_kb[-1][0] - memory_kb[0][0] < 16_000
    assert memory_kb[-1][1] - memory_kb[0][1] < 4_000
    # what it accepted would hold up the tests behind this one: Genesys takes 300 runs a minute
    compose.redis("ledger", "FLUSHALL")


def test_behind_a_load_balancer_it_speaks_plain_http_and_needs_no_certificate(compose, tmp_path):
    compose.env |= {"PROXY_LISTEN": "8080", "CERTIFICATES": str(tmp_path)}
    try:
        compose("up", "-d", "--wait", "--no-deps", "proxy")
        body = delivery("plain-http")
        connection = http.client.HTTPConnection("127.0.0.1", compose.proxy, timeout=20)
        connection.request("POST", PATH, body, signed(body))
        assert connection.getresponse().status == 202
        connection.close()
    finally:
        del compose.env["PROXY_LISTEN"], compose.env["CERTIFICATES"]
        compose("up", "-d", "--wait", "--no-deps", "proxy")


def test_without_a_certificate_it_does_not_count_as_healthy(compose, tmp_path):
    compose.env["CERTIFICATES"] = str(tmp_path)
    try:
        with pytest.raises(AssertionError, match="unhealthy"):
            compose("up", "-d", "--wait", "--no-deps", "proxy")
    finally:
        del compose.env["CERTIFICATES"]
        compose("up", "-d", "--wait", "--no-deps", "proxy")


def _memory_kb(container):
    """The resident memory of all processes of a container but health checks, which come and go."""
    # without the pid Docker refuses the columns
    lines = docker("top", container, "-o", "pid,rss,args").splitlines()
    return sum(int(line.split()[1]) for line in lines if "gunicorn" in line or "nginx" in line)


def _gunicorn(container):
    """The ids of the receiver's own processes; a health check comes and goes beside them."""
    lines = docker("top", container, "-o", "pid,args").splitlines()
    return [line.split()[0] for line in lines if "gunicorn" in line]
