"""A ledger without a server: fakeredis runs the same Lua in this process."""

import fakeredis
import pytest


@pytest.fixture
def client():
    return fakeredis.FakeRedis()
