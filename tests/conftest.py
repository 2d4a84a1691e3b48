"""Real servers for the tests: each test process has its own, on free ports."""

import json
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
import requests
from werkzeug.serving import make_server

from ops.dev import demo_data, embedded
from ops.dev.server import free_port as find_free_port
from simulator.app import create_app
from tests import (
    cases,  # noqa: F401  (its profiles)
    together,
)
from tests.failover import Failover
from tests.gate import write_gate

ROOT = Path(__file__).resolve().parents[1]

# A shell that starts the tests in the background lets them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    twice = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if twice:  # pytest-xdist would silently run one of them
        raise pytest.UsageError(f"several tests of one name: {', '.join(twice)}")
    items.sort(key=lambda item: together.rank(item.nodeid))


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # the order is ours
    return together.Together(config, log)


@pytest.fixture
def free_port():
    """Ask for a loopback port that nothing listens on."""
    return find_free_port


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A Redis that the tests of this process share; take care of your own keys."""
    with embedded.start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis_server(tmp_path):
    """Start a Redis of the test's own, to stop and start: `own_redis_server(appendfsync=…)`."""
    servers = []

    def start(**options):
        folder = tmp_path / f"redis-{len(servers)}"
        servers.append(embedded.start_redis(folder, **options))
        return servers[-1]

    yield start
    for started in servers:
        started.stop()


@pytest.fixture
def failover(own_redis_server, monkeypatch):
    """Two Redis, and a name that leads to the first, and after a failover to the second."""
    return Failover(own_redis_server(), own_redis_server(), monkeypatch)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """A Postgres with the demo data that the tests of this process share."""
    with embedded.start_postgres(tmp_path_factory.mktemp("postgres")) as server:
        demo_data.load(server.url)
        yield server


@pytest.fixture(scope="session")
def reader_url(postgres_server):
    """The demo database as the workers see it: a role that may only SELECT."""
    return postgres_server.url.replace("postgres@", "toolworker_reader:reader@", 1)


@pytest.fixture(scope="session")
def tools_with_hold(tmp_path_factory):
    """The shipped tools, `hold`, which sleeps in Postgres for its seconds, and `gate`."""
    folder = tmp_path_factory.mktemp("tools") / "tools"
    shutil.copytree(ROOT / "tools", folder)
    hold = folder / "hold"
    hold.mkdir()
    parameters = {
        "type": "object",
        "properties": {"seconds": {"type": "number"}},
        "required": ["seconds"],
        "additionalProperties": False,
    }
    tool = {"name": "hold", "description": "Sleeps.", "parameters": parameters, "timeout_ms": 6000}
    (hold / "tool.json").write_text(json.dumps(tool))
    (hold / "query.sql").write_text("SELECT 'slept' AS state FROM pg_sleep(%(seconds)s::float8)")
    (hold / "examples.json").write_text("[]")
    write_gate(folder)
    return folder


@pytest.fixture(scope="session")
def simulator_url():
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


@pytest.fixture
def simulator(simulator_url):
    """A simulated Genesys with an empty state; at the end, hanging requests are released."""
    yield simulator_url
    requests.delete(f"{simulator_url}/_sim/state", timeout=30)
