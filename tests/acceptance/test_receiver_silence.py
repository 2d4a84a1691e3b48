"""The receiver's connections to Redis die in silence: that costs a retry, never an answer."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace

import pytest
import redis

from ops.dev import embedded
from tests.proxy import Proxy
from tests.receiver import delivery, running_receiver, wait_for
from tests.timing import until_unstalled
from webhook import gunicorn

CALL = ("c", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
SENDERS = gunicorn.threads + 8
WARM = 12
"""Connections of the two processes, at least, after so many senders at once."""
AWAY_S, BACK_S = 1.5, 2.0
"""How long the ledger is away, and how long after that a delivery may still be refused."""
_numbers = count(1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A receiver whose ledger and broker are one Redis, behind a proxy each; no worker."""
    folder = tmp_path_factory.mktemp("silence")
    with embedded.start_redis(folder / "redis") as server:
        ledger, broker = (Proxy("127.0.0.1", server.port) for _ in range(2))
        urls = [f"redis://127.0.0.1:{proxy.port}/0" for proxy in (broker, ledger)]
        with running_receiver(folder, urls[0], LEDGER_URL=urls[1]) as receiver:
            client = redis.Redis.from_url(server.url)
            yield SimpleNamespace(receiver=receiver, ledger=ledger, broker=broker, redis=client)
        ledger.close()
        broker.close()


@pytest.fixture(autouse=True)
def _no_runs(parts):
    parts.redis.flushdb()  # the broker takes messages of 200 waiting runs


def _deliver(parts):
    """Deliver a run, and return its status."""
    return parts.receiver.post(delivery(f"silent-{next(_numbers)}", CALL))[0]


def _deliver_at_once(parts):
    """The statuses of so many deliveries that are sent at the same moment."""
    together = threading.Barrier(SENDERS)

    def deliver(_):
        together.wait(30)
        return _deliver(parts)

    with ThreadPoolExecutor(SENDERS) as senders:
        return list(senders.map(deliver, range(SENDERS)))


def _warm(parts, proxy):
    """Have many connections made, and lie idle."""

    def is_warm():
        _deliver_at_once(parts)
        return proxy.open_connections >= WARM

    wait_for(is_warm)
    parts.redis.flushdb()


def test_a_ledger_that_forgot_its_connections_refuses_no_delivery(parts):
    def attempt():
        _warm(parts, parts.ledger)
        parts.ledger.forget()
        return True if _deliver_at_once(parts) == [202] * SENDERS else None

    until_unstalled(attempt)


def test_a_broker_that_forgot_its_connections_refuses_no_delivery_and_takes_messages_soon(parts):
    def attempt():
        _warm(parts, parts.broker)
        parts.broker.forget()
        return True if _deliver_at_once(parts) == [202] * SENDERS else None

    until_unstalled(attempt)

    def is_published():
        parts.redis.flushdb()
        _deliver_at_once(parts)
        return parts.redis.llen("toolworker") == SENDERS

    wait_for(is_published)


class _Traffic:
    """Senders that deliver 10 times a second each, and when they were last refused."""

    def __init__(self, parts, senders=8):
        self._parts, self._is_over = parts, threading.Event()
        self.statuses, self.refused_at = Counter(), 0.0
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _send(self):
        while not self._is_over.wait(0.1):
            status = _deliver(self._parts)
            self.statuses[status] += 1
            if status != 202:
                self.refused_at = time.monotonic()


@contextmanager
def _outage_under_traffic(parts, refuse):
    """The ledger has been away for AWAY_S inside the block, and deliveries go on to its end."""
    _warm(parts, parts.ledger)
    with _Traffic(parts) as traffic:
        parts.ledger.block(refuse=refuse)
        time.sleep(AWAY_S)
        yield traffic


REFUSE = pytest.mark.parametrize("refuse", [True, False], ids=["refused", "no answer"])


@REFUSE
def test_under_traffic_no_delivery_is_refused_2_s_after_the_ledger_is_back(parts, refuse):
    def attempt():
        with _outage_under_traffic(parts, refuse) as traffic:
            parts.ledger.unblock()
            back_at = time.monotonic()
            time.sleep(BACK_S + 1)
        assert set(traffic.statuses) == {202, 503}
        return True if traffic.refused_at < back_at + BACK_S else None

    until_unstalled(attempt, tries=3)


@REFUSE
def test_the_first_deliveries_2_s_after_an_outage_are_accepted_however_many_at_once(parts, refuse):
    def attempt():
        with _outage_under_traffic(parts, refuse) as traffic:
            pass
        parts.ledger.unblock()
        time.sleep(BACK_S)
        assert 503 in traffic.statuses
        return True if _deliver_at_once(parts) == [202] * SENDERS else None

    until_unstalled(attempt, tries=3)
