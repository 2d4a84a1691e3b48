"""Fixtures of the dashboard's tests: the pages over a real Redis, with a fleet as stated."""

import itertools
from types import SimpleNamespace

import pytest
import redis

from ops.doctor.result import CheckResult
from ops.pages import observer as observer_module
from ops.pages.app import make
from runtime.settings import Secret, Settings
from tasks.fleet import Worker
from tests.dashboard.seed import wait_for

PASSWORD, SECOND = "see-it", "change-it"
_numbers = itertools.count(1)
_rows = []


def pytest_addoption(parser):
    parser.addoption("--screenshots", help="The folder for the browser's pictures of each page.")


@pytest.fixture(scope="session")
def rows():
    """Lines that are printed at the end: what was measured."""
    return _rows


def pytest_terminal_summary(terminalreporter):
    for row in _rows:
        terminalreporter.write_line(row)


@pytest.fixture(scope="session")
def redis_databases(redis_server):
    """The test process's Redis, without the database's number."""
    return (
        redis_server.url.rpartition("/")[0] if redis_server.url.count("/") > 2 else redis_server.url
    )


def settings_of(url, reader_url, **changes):
    """Settings of a dashboard over the Redis at *url*."""
    given = {
        "redis_url": Secret(url),
        "database_url": Secret(reader_url),
        "genesys_base_url": "http://127.0.0.1:9",
        "genesys_login_url": "http://127.0.0.1:9",
        "genesys_client_id": "client",
        "dashboard_password": Secret(PASSWORD),
        "dashboard_admin_password": Secret(SECOND),
    }
    return Settings(**{**given, **changes})


@pytest.fixture
def around(monkeypatch):
    """What surrounds the runs, to be changed by the test."""
    return surround(monkeypatch)


def surround(monkeypatch):
    """Two workers and a doctor that finds nothing, in place of a fleet."""
    found = SimpleNamespace(
        workers=[
            Worker("worker@host-a", "host-a", (4021, 4022)),
            Worker("worker@host-b", "host-b", (7, 8)),
        ],
        results=[
            CheckResult(subject)
            for subject in (
                "settings", "genesys settings", "3 tools in /app/tools", "REDIS_URL", "LEDGER_URL",
                "DATABASE_URL", "worker worker@host-a", "worker worker@host-b",
            )
        ],
        messages=0,
    )  # fmt: skip
    monkeypatch.setattr(observer_module, "FIRST_S", 30.0)  # the machine may be busy
    monkeypatch.setattr(observer_module, "FLEET_S", 0.1)
    monkeypatch.setattr(observer_module, "DOCTOR_S", 0.1)
    fleet, doctor = observer_module.fleet, observer_module.examination
    monkeypatch.setattr(fleet, "workers", lambda: found.workers)
    monkeypatch.setattr(fleet, "queue_length", lambda: found.messages)
    digest = observer_module.catalog.load(Settings().tools_dir).digest
    monkeypatch.setattr(fleet, "catalogs", lambda: {w.node: digest for w in found.workers or ()})
    monkeypatch.setattr(doctor, "check", lambda also, required: list(found.results))
    return found


@pytest.fixture
def ledger(redis_databases):
    """A Redis database of the test's own, empty."""
    url = f"{redis_databases}/{1 + next(_numbers) % 14}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        client.url = url
        yield client
        client.flushdb()


@pytest.fixture
def make_app(ledger, reader_url, around):
    """Make an app over `ledger` with further settings; its threads end with the test."""
    apps = []

    def start(url=ledger.url, **changes):
        apps.append(make(settings_of(url, reader_url, **changes)))
        return apps[-1]

    yield start
    for app in apps:
        app.extensions["dashboard"].observer.close()


@pytest.fixture
def app(make_app):
    """The app over `ledger`."""
    return make_app()


@pytest.fixture
def operator(app):
    """A browser's session with the first password."""
    return Operator(app)


class Operator:
    """A test client that does what a browser does."""

    def __init__(self, app, password=PASSWORD):
        self.client = app.test_client()
        self._auth = ("operator", password)

    def get(self, path, **options):
        options = {"base_url": "http://127.0.0.1:5556", "auth": self._auth, **options}
        return self.client.get(path, **options)

    def text(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def token(self):
        page = self.text("/unlock")
        return page.partition('name="token" value="')[2].partition('"')[0]

    def post(self, path, data=None, **options):
        options = {
            "base_url": "http://127.0.0.1:5556",
            "auth": self._auth,
            "headers": {"Origin": "http://127.0.0.1:5556"},
            **options,
        }
        return self.client.post(path, data={"token": self.token(), **(data or {})}, **options)

    def unlock(self):
        assert self.post("/unlock", {"password": SECOND}).status_code == 303
        return self

    def shows(self, path, text):
        """The page, once it has *text*: what surrounds the runs is looked at in the background."""

        def found():
            page = self.text(path)
            return page if text in page else None

        return wait_for(found)
