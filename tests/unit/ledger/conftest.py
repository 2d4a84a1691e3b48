"""A ledger without a server: fakeredis runs the same Lua in this process."""

from types import SimpleNamespace

import fakeredis
import pytest


@pytest.fixture
def client():
    return fakeredis.FakeRedis()


@pytest.fixture
def clock(monkeypatch):
    """The server's clock, in `ms` since the epoch; it moves when a test moves it."""
    clock = SimpleNamespace(ms=1_700_000_000_000)
    monkeypatch.setattr("time.time", lambda: clock.ms / 1000)
    return clock
