"""Options of the ledger's client, and the ledger that the settings describe."""

import socket

import pytest
import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from ledger import connect, from_settings
from runtime.settings import Secret, Settings


def _options(url="redis://ledger:6379/3", **options):
    client = connect(url, **{"timeout_s": 5.0, "retries": 2, **options})
    assert isinstance(client, redis.Redis)
    return client.get_connection_kwargs()


def test_connecting_and_each_reply_have_the_time_limit():
    options = _options(timeout_s=0.7)
    assert (options["host"], options["port"], options["db"]) == ("ledger", 6379, 3)
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (0.7, 0.7)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system has no such option")
def test_an_idle_connection_that_died_in_silence_is_found_in_11_seconds():
    options = _options()
    assert options["socket_keepalive"] is True
    assert options["socket_keepalive_options"] == {
        socket.TCP_KEEPIDLE: 5,
        socket.TCP_KEEPINTVL: 2,
        socket.TCP_KEEPCNT: 3,
    }


@pytest.mark.parametrize(
    ("retries", "waits"),
    [
        (0, NoBackoff()),
        (1, NoBackoff()),  # at once
        (2, ExponentialBackoff(cap=1.0, base=0.1)),
        (5, ExponentialBackoff(cap=1.0, base=0.1)),
    ],
)
def test_a_step_is_retried_on_a_broken_connection_and_on_a_time_out(retries, waits):
    options = _options(retries=retries)
    assert options["retry"] == Retry(waits, retries)
    assert options["retry_on_error"] == [redis.ConnectionError, redis.TimeoutError]


def test_options_of_tls_are_those_of_the_settings():
    options = _options("rediss://ledger", tls={"ssl_ca_certs": "/etc/ca.pem"})
    assert options["ssl_ca_certs"] == "/etc/ca.pem"
    assert "ssl_ca_certs" not in _options("rediss://ledger")


def test_each_setting_of_the_ledger_has_its_place():
    settings = Settings(
        redis_url=Secret("redis://broker:6379/1"),
        ledger_url=Secret("rediss://ledger:6379/3"),
        redis_tls_verify=False,
        run_answer_by_s=7,
        run_expires_s=70,
        run_retention_s=700,
        dead_letter_retention_s=7_000,
        run_max_wait_s=5,
        run_max_waiting=55,
    )
    ledger = from_settings(settings, timeout_s=0.7, retries=1, timeouts_ms={"get_order": 900})
    options = ledger.client.get_connection_kwargs()
    assert (options["host"], options["db"]) == ("ledger", 3)
    assert options["ssl_cert_reqs"] == "none"
    assert (options["socket_timeout"], options["retry"]) == (0.7, Retry(NoBackoff(), 1))
    assert (ledger.answer_by_ms, ledger.expires_ms) == (7_000, 70_000)
    assert (ledger.retention_s, ledger.dead_letter_retention_s) == (700, 7_000)
    assert (ledger.max_wait_s, ledger.max_waiting) == (5, 55)
    assert ledger.timeouts_ms == {"get_order": 900}
    assert from_settings(settings, timeout_s=1, retries=0).timeouts_ms == {}
