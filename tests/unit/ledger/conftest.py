"""A ledger without a server: fakeredis runs the same Lua in this process."""

from types import SimpleNamespace

import fakeredis
import pytest

from ledger import Ledger


@pytest.fixture
def client():
    return fakeredis.FakeRedis()


@pytest.fixture
def ledger(client):
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    return Ledger(client, **times, dead_letter_retention_s=600)


@pytest.fixture
def clock(monkeypatch):
    """The server's clock, in `ms` since the epoch; it moves when a test moves it."""
    clock = SimpleNamespace(ms=1_700_000_000_000)
    monkeypatch.setattr("time.time", lambda: clock.ms / 1000)
    return clock
