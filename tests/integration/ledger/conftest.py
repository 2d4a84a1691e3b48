"""Fixtures of the ledger's integration tests: a client of a real Redis, emptied for each test."""

import pytest
import redis


@pytest.fixture
def client(redis_server):
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    return client
