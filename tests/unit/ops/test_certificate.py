"""The expiry of a server's certificate, read whatever authority signed it."""

import datetime
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest
import trustme

from ops.certificate import NoCertificate, ends_in_s

_NOW = datetime.datetime.now(datetime.UTC)
_DAY = datetime.timedelta(days=1)


@contextmanager
def _server(**times):
    """A TLS server for two handshakes, whose certificate is signed by an untrusted authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("tools.example.com", **times).configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for _ in range(2):
                try:
                    with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                        connection.recv(1)
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_the_end_of_a_certificate_is_read_whoever_signed_it_and_for_whatever_name():
    with _server(not_after=_NOW + 5 * _DAY) as endpoint:
        assert 4.9 * 86_400 < ends_in_s(endpoint, timeout_s=5) <= 5 * 86_400


def test_a_certificate_that_has_ended_has_no_time_left():
    with _server(not_before=_NOW - 9 * _DAY, not_after=_NOW - 2 * _DAY) as endpoint:
        assert ends_in_s(endpoint, timeout_s=5) == 0


def test_a_port_without_tls_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(NoCertificate, match=endpoint):
            ends_in_s(endpoint, timeout_s=0.2)
