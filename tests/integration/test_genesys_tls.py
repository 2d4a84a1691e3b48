"""TLS to Genesys: real servers, private CAs, host names, and proxies by CONNECT."""

import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid

import pytest
import trustme

from genesys.auth.probe import verify_credentials
from genesys.client import from_settings
from genesys.errors import GenesysUnavailable, Rejected, Untrusted
from genesys.http import HttpClient
from runtime.settings import Secret, Settings, SettingsError
from tests.timing import in_time

BODY = b'{"tool_calls":[{"tool_call_id":"c","output":"{}"}]}'
TOKEN = b'{"access_token": "planted-token", "token_type": "bearer", "expires_in": 86399}'
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(TOKEN), TOKEN)


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(ca, tmp_path_factory):
    """The private CA's certificate, as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def listen():
    """Hand each connection of a new port to *handle*, in a thread of its own."""
    listeners = []

    def start(handle):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        def serve(connection):
            with connection:
                try:
                    handle(connection)
                except OSError:
                    return

        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for listener in listeners:
        listener.close()


@pytest.fixture
def genesys(listen, ca):
    """Start a Genesys over TLS whose certificate is for *names*; it keeps what it was sent."""

    def start(*names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*names).configure_cert(context)
        received = []

        def handle(connection):
            with context.wrap_socket(connection, server_side=True) as secured:
                while head := _request(secured):
                    received.append(head)
                    body = TOKEN if head.startswith(b"POST /oauth/token ") else b"{}"
                    secured.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                    )

        return f"https://localhost:{listen(handle)}", received

    return start


@pytest.fixture
def proxy(listen):
    """Start a proxy that answers CONNECT with *answer*; it keeps what it was sent, up to that."""

    def start(answer=b"HTTP/1.1 200 Connection established\r\n\r\n", pause_s=0.0):
        received = []

        def handle(connection):
            head = _request(connection)
            received.append(head)
            for piece in [answer] if not pause_s else [b"%c" % byte for byte in answer * 9]:
                connection.sendall(piece)
                time.sleep(pause_s)
            if b" 200 " in answer and head.startswith(b"CONNECT "):
                host, _, port = head.split()[1].decode().rpartition(":")
                with socket.create_connection((host, int(port))) as other:
                    _relay(connection, other)

        return f"127.0.0.1:{listen(handle)}", received

    return start


def _settings(url, **values):
    return Settings(
        genesys_base_url=url,
        genesys_login_url=url,
        genesys_client_id="id",
        genesys_client_secret=Secret("planted-secret"),
        **values,
    )


def _post(settings):
    client = from_settings(settings)
    return client.post("r", BODY, idempotency_key="k")


@pytest.mark.parametrize("setting", ["requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file"])
def test_a_private_ca_is_trusted_by_setting(genesys, bundle, setting):
    url, received = genesys("localhost")
    assert _post(_settings(url, **{setting: bundle})).status == 200
    token, submission = received
    assert token.startswith(b"POST /oauth/token ")
    assert b"Authorization: Bearer planted-token" in submission


@pytest.mark.skipif(shutil.which("openssl") is None, reason="only openssl hashes names")
def test_a_folder_of_hashed_ca_certificates_is_taken(genesys, bundle, tmp_path):
    url, _ = genesys("localhost")
    with pytest.raises(Untrusted):
        _post(_settings(url, requests_ca_bundle=str(tmp_path)))
    command = ["openssl", "x509", "-hash", "-noout", "-in", bundle]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copy(bundle, tmp_path / f"{name}.0")
    assert _post(_settings(url, requests_ca_bundle=str(tmp_path))).status == 200


def test_a_certificate_of_an_unknown_ca_is_named_and_nothing_is_sent(genesys):
    url, received = genesys("localhost")
    with pytest.raises(Untrusted) as failed:
        _post(_settings(url))
    assert str(failed.value).startswith("the certificate of localhost is not trusted: ")
    assert "REQUESTS_CA_BUNDLE" in str(failed.value)
    assert "planted" not in f"{failed.value!r} {failed.value.__cause__!r}"
    assert isinstance(failed.value, Rejected)  # a dead letter at once, and not at the expiry
    assert received == []


def test_a_certificate_for_another_name_is_named_and_nothing_is_sent(genesys, bundle):
    url, received = genesys("other.example")
    with pytest.raises(Untrusted, match="the certificate of localhost is for another name"):
        _post(_settings(url, requests_ca_bundle=bundle))
    url = url.replace("localhost", "127.0.0.1")
    with pytest.raises(Untrusted, match=r"the certificate of 127.0.0.1 is for another name"):
        _post(_settings(url, requests_ca_bundle=bundle))
    assert received == []


def test_the_submissions_certificate_is_checked_like_the_token_endpoints(genesys, bundle):
    login, _ = genesys("localhost")
    api, received = genesys("other.example")
    settings = _settings(login, requests_ca_bundle=bundle)
    client = from_settings(Settings(**{**_fields(settings), "genesys_base_url": api}))
    with pytest.raises(Untrusted, match="for another name"):
        client.post("r", BODY, idempotency_key="k", permit=client.permit())
    assert received == []


def test_a_permit_for_a_post_that_was_not_sent_is_given_back(genesys, bundle, redis_server):
    login, _ = genesys("localhost")
    api, _ = genesys("other.example")
    values = {
        **_fields(_settings(login, requests_ca_bundle=bundle)),
        "genesys_base_url": api,
        "genesys_client_id": uuid.uuid4().hex,
        "genesys_requests_per_minute": 1,
        "redis_url": Secret(redis_server.url),
    }
    client = from_settings(Settings(**values))
    for _ in range(3):
        with pytest.raises(Untrusted):
            client.post("r", BODY, idempotency_key="k", permit=client.permit())


def test_a_worker_that_trusts_no_certificate_does_not_stop_the_others(
    genesys, bundle, redis_server
):
    url, _ = genesys("localhost")
    fleet = {"genesys_client_id": uuid.uuid4().hex, "redis_url": Secret(redis_server.url)}
    wrong = from_settings(Settings(**{**_fields(_settings(url)), **fleet}))
    right = from_settings(
        Settings(**{**_fields(_settings(url, requests_ca_bundle=bundle)), **fleet})
    )
    permit = wrong.permit()
    with pytest.raises(Untrusted):  # at once, and without a second handshake
        wrong.post("r", BODY, idempotency_key="k", permit=permit)
    deadline = time.monotonic() + 60
    while True:
        try:
            assert right.post("r", BODY, idempotency_key="k").status == 200
            break
        except GenesysUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_doctor_names_a_certificate_that_is_not_trusted(genesys):
    url, _ = genesys("localhost")
    with pytest.raises(Untrusted, match="not trusted"):
        verify_credentials(_settings(url))


def test_a_server_that_speaks_no_tls_is_named_and_may_be_tried_again(listen):
    port = listen(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with pytest.raises(GenesysUnavailable, match=r"TLS with 127.0.0.1 failed") as failed:
        HttpClient().post(f"https://127.0.0.1:{port}/", BODY, {}, 20.0)
    assert not failed.value.is_unknown


def test_https_goes_through_a_proxy_by_connect_which_sees_no_token(genesys, bundle, proxy):
    url, received = genesys("localhost")
    address, seen = proxy()
    settings = _settings(
        url, requests_ca_bundle=bundle, https_proxy=Secret(f"http://user:word@{address}")
    )
    assert _post(settings).status == 200
    assert len(received) == 2
    host = url.removeprefix("https://").encode()
    assert {tuple(head.split(b" ")[:2]) for head in seen} == {(b"CONNECT", host)}
    assert all(b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in head for head in seen)
    assert b"planted" not in b"".join(seen)
    assert all(b"Proxy-Authorization" not in head for head in received)


@pytest.mark.parametrize("no_proxy", ["localhost", "*", "other.example, localhost"])
def test_no_proxy_names_hosts_that_are_reached_directly(genesys, bundle, proxy, no_proxy):
    url, received = genesys("localhost")
    address, seen = proxy()
    options = {"all_proxy": Secret(address), "requests_ca_bundle": bundle}
    assert _post(_settings(url, **options, no_proxy=no_proxy)).status == 200
    assert (len(received), seen) == (2, [])
    assert _post(_settings(url, **options)).status == 200
    assert len(seen) > 0


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
def test_a_proxy_that_refuses_is_named_with_its_status(genesys, bundle, proxy, status):
    url, received = genesys("localhost")
    address, _ = proxy(f"HTTP/1.1 {status}\r\n\r\n".encode())
    settings = _settings(url, requests_ca_bundle=bundle, https_proxy=Secret(f"u:planted@{address}"))
    with pytest.raises(GenesysUnavailable, match=f"the proxy did not connect .*{status}") as failed:
        _post(settings)
    assert "planted" not in f"{failed.value!r} {failed.value.__cause__!r}"
    assert not failed.value.is_unknown
    assert received == []


def test_the_certificate_of_a_proxy_is_checked_and_named(genesys):
    (url, received), (proxy, seen) = genesys("localhost"), genesys("localhost")
    with pytest.raises(Untrusted, match="the certificate of the proxy is not trusted: "):
        _post(_settings(url, https_proxy=Secret(proxy)))
    assert (received, seen) == ([], [])


def test_a_proxy_that_answers_connect_byte_by_byte_is_cut_at_the_deadline(genesys, proxy):
    url, received = genesys("localhost")
    address, _ = proxy(b"HTTP/1.1 200 Connection established\r\n", pause_s=0.1)

    def attempt():
        with pytest.raises(GenesysUnavailable, match="ConnectTimeout"):
            HttpClient(proxies={"https": f"http://{address}"}).post(url, BODY, {}, 1.0)

    in_time(attempt, under_s=3)
    assert received == []


def test_no_token_goes_to_a_plain_http_proxy(listen, proxy):
    received = []

    def handle(connection):
        while head := _request(connection):
            received.append(head)
            connection.sendall(_OK)

    url = f"http://127.0.0.1:{listen(handle)}"
    address, seen = proxy(_OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    options = {"http_proxy": Secret(address), "all_proxy": Secret(address)}
    assert _post(_settings(url, **options)).status == 200
    assert (len(received), seen) == (2, [])
    # unless plain http is allowed, in so many words
    assert _post(_settings(url, **options, genesys_allow_http=True)).status == 200
    assert len(received) == 2
    assert b"Authorization: Bearer planted-token" in seen[1]


def test_no_token_goes_to_another_host_over_plain_http():
    with pytest.raises(Rejected, match="in the clear"):
        HttpClient().post("http://genesys.example/", BODY, {}, 1.0)


def test_each_thread_keeps_one_connection_of_its_own(listen):
    connections = []

    def handle(connection):
        connections.append(connection)
        while _request(connection):
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    url, client = f"http://127.0.0.1:{listen(handle)}/", HttpClient()

    def post_twice():
        assert [client.post(url, BODY, {}, 20.0).status for _ in range(2)] == [204, 204]

    for threads in (1, 2):
        thread = threading.Thread(target=post_twice)
        thread.start()
        thread.join()
        assert len(connections) == threads


def test_an_idle_connection_that_the_server_closed_costs_nothing(listen):
    connections, closed = [], threading.Semaphore(0)

    def handle(connection):
        connections.append(connection)
        _request(connection)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        connection.shutdown(socket.SHUT_RDWR)  # has returned once its peer can see the end
        closed.release()

    url, client = f"http://127.0.0.1:{listen(handle)}/", HttpClient()
    for _ in range(3):
        assert client.post(url, BODY, {}, 20.0).status == 204
        assert closed.acquire(timeout=60)
    assert len(connections) == 3


def test_an_idle_connection_that_died_in_silence_costs_one_attempt(listen):
    connections, is_over = [], threading.Event()

    def handle(connection):
        connections.append(connection)
        _request(connection)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        if len(connections) == 1:
            is_over.wait(60)  # reads nothing, answers nothing

    url, client = f"http://127.0.0.1:{listen(handle)}/", HttpClient()
    assert client.post(url, BODY, {}, 20.0).status == 204
    with pytest.raises(GenesysUnavailable) as failed:
        client.post(url, BODY, {}, 0.3)
    assert failed.value.is_unknown
    assert client.post(url, BODY, {}, 20.0).status == 204
    assert len(connections) == 2
    is_over.set()


def test_the_kernel_probes_idle_connections_and_bounds_what_is_not_acknowledged(
    listen, monkeypatch
):
    sockets, is_over = [], threading.Event()
    connect = socket.socket.connect

    def recorded(sock, address):
        sockets.append(sock)
        return connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)

    def handle(connection):
        _request(connection)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        is_over.wait(60)

    client = HttpClient()
    assert client.post(f"http://127.0.0.1:{listen(handle)}/", BODY, {}, 20.0).status == 204
    (sock,) = sockets
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
    is_over.set()


def test_no_cookie_is_sent_back(listen):
    received = []

    def handle(connection):
        for _ in range(2):
            received.append(_request(connection))
            connection.sendall(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n")

    url, client = f"http://127.0.0.1:{listen(handle)}/", HttpClient()
    client.post(url, BODY, {}, 20.0)
    client.post(url, BODY, {}, 20.0)
    assert b"Cookie" not in received[1]


def test_mistakes_in_the_way_to_genesys_are_named_by_their_setting(tmp_path):
    (tmp_path / "empty.pem").write_text("no certificate")
    wrong = {
        "https_proxy": Secret("socks5://planted:word@127.0.0.1:1080"),
        "all_proxy": Secret("http://planted:99999999"),
        "requests_ca_bundle": str(tmp_path / "none.pem"),
    }
    with pytest.raises(SettingsError) as failed:
        from_settings(_settings("https://localhost", **wrong))
    lines = str(failed.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "HTTPS_PROXY",
        "ALL_PROXY",
        "REQUESTS_CA_BUNDLE",
    ]
    assert "planted" not in str(failed.value)
    with pytest.raises(SettingsError, match=r"SSL_CERT_FILE: .* no certificates"):
        from_settings(_settings("https://localhost", ssl_cert_file=str(tmp_path / "empty.pem")))


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def _request(connection):
    """One whole request, or what came of it; empty when there is none."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(65536)
        if not piece:
            return raw
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def _relay(one, other):
    while True:
        ready, _, _ = select.select([one, other], [], [], 10)
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)
