"""Runs that are submitted on fakeredis, by a clock that tests move."""

from types import SimpleNamespace

import pytest

from tests.submission import Clock, Runs


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.time", clock.monotonic)
    own = SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
    monkeypatch.setattr("tasks.submission.time", own)
    monkeypatch.setattr("genesys.client.time", own)
    return clock


@pytest.fixture
def runs(clock, monkeypatch):
    """Each wait is as long as its jitter allows."""
    monkeypatch.setattr("random.uniform", lambda _, longest: longest)
    return Runs(clock)
