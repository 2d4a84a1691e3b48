"""A client of a real server, emptied for each test."""

import pytest
import redis


@pytest.fixture
def client(redis_server):
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    return client
