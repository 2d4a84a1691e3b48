"""The trial of a Redis names each missing right, a full memory, a replica and a cluster."""

import pytest
import redis

from runtime.redis_trial import lacks


@pytest.fixture
def server(own_redis_server):
    return own_redis_server()


def _lacks(url, *, is_broker=True):
    with redis.Redis.from_url(url, socket_timeout=2, decode_responses=True) as client:
        return lacks(client, is_broker=is_broker)


def _as_user(server, *rights):
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "ours", "reset", "on", ">secret", *rights)
    return server.url.replace("redis://", "redis://ours:secret@")


def test_a_redis_with_all_rights_lacks_nothing(server):
    assert _lacks(server.url) == []
    with redis.Redis.from_url(server.url, socket_timeout=2) as client:
        assert lacks(client, is_broker=True) == []


@pytest.mark.parametrize(
    ("rights", "sentences"),
    [
        (["~*", "+@all"], ["we may not publish; its user needs &* and +@pubsub",
                           "we may not subscribe; its user needs &* and +@pubsub"]),
        (["~*", "&*", "+@all", "-@write"],
         ["we may not write keys; its user needs ~* and +@write"]),
        (["~*", "&*", "+@all", "-@scripting"],
         ["we may not run scripts; its user needs +@scripting"]),
        (["~*", "&*", "+@all", "-info"], []),
    ],
)  # fmt: skip
def test_a_right_that_is_missing_is_named(server, rights, sentences):
    assert _lacks(_as_user(server, *rights)) == sentences


def test_a_ledger_needs_no_channels(server):
    assert _lacks(_as_user(server, "~*", "+@all"), is_broker=False) == []


def test_a_full_memory_is_named(own_redis_server):
    server = own_redis_server(extra=["--maxmemory", "1", "--maxmemory-policy", "noeviction"])
    assert "its memory is full (maxmemory), so that it takes no writes" in _lacks(server.url)


def test_a_replica_is_named(own_redis_server):
    primary, replica = own_redis_server(), own_redis_server()
    with redis.Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", primary.port)
    assert _lacks(replica.url) == [
        "it is a replica, which takes no writes; the URL must lead to the primary"
    ]


def test_cluster_mode_is_named(own_redis_server):
    server = own_redis_server(extra=["--cluster-enabled", "yes"])
    assert _lacks(server.url) == [
        "it runs in cluster mode, which Celery cannot use; give it a Redis without cluster"
    ]
