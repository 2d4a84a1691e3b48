"""Fixtures: a database as the reading role, and waits for servers that a busy machine holds up."""

import pytest

from db.pool import Databases

PATIENT_S = 30.0


@pytest.fixture
def patient_database(monkeypatch):
    """
    Wait for a Postgres that is silent for seconds, as beside busy processes.

    Within a second of silence a call ends as `unavailable`, and a worker tries it again; a test
    that queries by itself does not.
    """
    for name in ("db.transaction.HEARD_S", "db.transaction._LEAST_HEARD_S", "db.pool.WAIT_S"):
        monkeypatch.setattr(name, PATIENT_S)
    monkeypatch.setattr("db.connection.CONNECT_TIMEOUT_S", int(PATIENT_S))
    monkeypatch.setattr("db.lint.rows.TRY_MS", int(1000 * PATIENT_S))


@pytest.fixture
def patient_store(monkeypatch):
    """Wait for a Redis with the fleet's state; after a second a worker goes on without it."""
    monkeypatch.setattr("genesys.store.TIMEOUT_S", PATIENT_S)


@pytest.fixture
def databases(patient_database, reader_url):
    """Pools that query as the reading role, which a stop of Postgres does not break."""
    found = Databases({"default": reader_url})
    found.open()
    yield found
    found.close()
