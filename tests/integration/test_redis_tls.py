"""Every reader of a rediss:// URL checks the certificate alike: ledger, fleet, broker, Flower."""

import asyncio
import os
import socket
import ssl
import threading

import pytest
import trustme

from tests import forked_cli
from tests.timing import until_unstalled

# each try in a process of its own, since settings are read once
READERS = {
    "ledger": """
import ledger
from runtime import settings
ledger.from_settings(settings.load(), timeout_s=2, retries=0).ping()
""",
    "fleet": """
from genesys.client import from_settings
from runtime import settings
from_settings(settings.load()).available(1)
""",
    "broker": """
from tasks.app import app, limit_publishing
limit_publishing()
with app.connection_for_write() as connection:
    connection.default_channel.client.ping()
""",
    "publisher": """
from tasks.app import limit_publishing, publish_fan_out
limit_publishing()
publish_fan_out("r", "k", 0)
""",
    "flower": """
import asyncio
from flower.utils.broker import Broker
from tasks.app import app
broker = Broker(app.conf.broker_url, broker_options=app.conf.broker_transport_options,
                broker_use_ssl=app.conf.broker_use_ssl)
assert asyncio.run(broker.queues(["toolworker"]))
""",
}

PATIENT = """
import genesys.store
genesys.store.TIMEOUT_S = 30.0  # a server that is slow to answer is not one that is not trusted
"""


class TlsFront:
    """TLS before a Redis; keeps the bytes that clients sent through it."""

    def __init__(self, certificate, redis_port):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._context)
        self._redis_port = redis_port
        self.received = bytearray()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        """Close all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_server(self._relay, sock=self._listening, ssl=self._context)
        server = self._loop.run_until_complete(serving)
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _relay(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self._redis_port)
        await asyncio.gather(self._copy(reader, back, self.received), self._copy(there, writer))

    async def _copy(self, reader, writer, seen=None):
        try:
            while data := await reader.read(65536):
                if seen is not None:
                    seen += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
def authority(tmp_path):
    """A private certificate authority, and its file."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return ca, tmp_path / "ca.pem"


@pytest.fixture
def front(redis_server, authority):
    """Start TLS before the Redis, with a certificate for a host name."""
    fronts = []

    def start(name):
        fronts.append(TlsFront(authority[0].issue_cert(name), redis_server.port))
        return fronts[-1]

    yield start
    for started in fronts:
        started.stop()


def _read(reader, port, settings):
    """Whether a reader reaches its Redis with these settings, and its error."""
    code = PATIENT + READERS[reader]
    done = forked_cli.python("-c", code, env=_env(port, settings))
    said = done.stdout + done.stderr
    # the fleet's store goes on without Redis, and logs that
    return done.returncode == 0 and "genesys.store_away" not in said, said


def _reached(found):
    """What was read, unless the first Redis was slower than its reader waits (0.5 s or more)."""
    _, said = found[0]
    return None if "timed out" in said.lower() or "timeout" in said.lower() else found


def _env(port, settings):
    url = f"rediss://default:planted@127.0.0.1:{port}/0"
    return {
        "PATH": os.defpath,
        "REDIS_URL": url,
        "LEDGER_URL": url,
        "GENESYS_REGION": "mypurecloud.com",
        "GENESYS_CLIENT_ID": "c",
        "GENESYS_CLIENT_SECRET": "s",
        **{name: str(value) for name, value in settings.items()},
    }


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_trusts_the_given_authority_and_no_other_server(front, authority, reader):
    ours, other = front("127.0.0.1"), front("redis.example.com")
    trusting = {"REDIS_TLS_CA": authority[1]}
    # the name is another's; then no authority of the system signed it
    (is_there, said), of_another, unsigned = until_unstalled(
        lambda: _reached(
            [
                _read(reader, ours.port, trusting),
                _read(reader, other.port, trusting),
                _read(reader, other.port, {}),
            ]
        )
    )
    assert is_there, said
    assert b"planted" in ours.received
    assert (of_another[0], unsigned[0]) == (False, False)
    assert other.received == b""


def test_ssl_cert_file_is_trusted_for_redis_too_and_requests_ca_bundle_is_not(front, authority):
    ours = front("127.0.0.1")
    (is_there, said), of_genesys_alone = until_unstalled(
        lambda: _reached(
            [
                _read("ledger", ours.port, {"SSL_CERT_FILE": authority[1]}),
                _read("ledger", ours.port, {"REQUESTS_CA_BUNDLE": authority[1]}),
            ]
        )
    )
    assert is_there, said
    assert not of_genesys_alone[0]


@pytest.mark.parametrize("reader", READERS)
def test_the_check_can_be_turned_off(front, reader):
    other = front("redis.example.com")
    unchecked = {"REDIS_TLS_VERIFY": "false"}
    ((is_there, said),) = until_unstalled(lambda: _reached([_read(reader, other.port, unchecked)]))
    assert is_there, said
    assert b"planted" in other.received


def test_the_doctor_names_a_certificate_that_is_not_trusted(front):
    url = f"rediss://default:planted@127.0.0.1:{front('redis.example.com').port}/0"
    done = forked_cli.toolworker("doctor", env={"REDIS_URL": url})
    assert done.returncode == 1
    assert (
        "REDIS_URL: its certificate is not trusted, or is another host's: set REDIS_TLS_CA to the "
        "file of the authority that signed it, and use the host name that it has\n"
    ) in done.stderr
    assert "planted" not in done.stdout + done.stderr
