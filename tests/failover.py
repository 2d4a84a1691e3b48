"""Helper: a primary Redis that is replaced, lives on as a replica, and closes no connection."""

import socket

import redis

from tests.receiver import wait_for

HOST = "redis.test"


class Failover:
    """`old` and `new` are clients of the two servers, `url` leads to one of them by a name."""

    url = f"redis://{HOST}:6379/0"

    def __init__(self, old, new, monkeypatch):
        self.old, self.new = redis.Redis.from_url(old.url), redis.Redis.from_url(new.url)
        self.new.config_set("repl-diskless-sync-delay", 0)  # 5 s otherwise
        self._new_port, self._led_to = new.port, old.port
        self._resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def demote(self):
        """Make the old one a replica of the new one, to which the name does not lead yet."""
        self.old.replicaof("127.0.0.1", self._new_port)
        wait_for(lambda: self.old.info("replication")["master_link_status"] == "up")

    def lead_to_the_new(self):
        self._led_to = self._new_port

    def _look_up(self, host, port, *args, **options):
        if host == HOST:
            host, port = "127.0.0.1", self._led_to
        return self._resolve(host, port, *args, **options)
