"""The ledger's connection: each thread and process has its own, and no answer is read twice."""

import gc
import os
import signal
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tasks.errors import LedgerUnavailable
from tasks.ledger import Ledger
from tasks.scripts import Scripts, connect
from tests.receiver import wait_for


class TimeLimit(BaseException):
    """What a signal raises, wherever the process happens to be."""


@pytest.fixture
def client(redis_server):
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    return client


@pytest.fixture
def ledger(client, redis_server):
    own = connect(redis_server.url, timeout_s=1, retries=0)
    ledger = Ledger(own, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=60)
    yield ledger
    own.close()


def _accept(ledger, run_id):
    function = {"name": "get_order", "arguments": "{}"}
    return ledger.accept(run_id, [{"id": "c", "type": "function", "function": function}])


def _steps(client):
    return client.info("commandstats")["cmdstat_evalsha"]["calls"]


def test_after_a_time_limit_no_step_reads_the_answer_of_the_one_before(ledger, monkeypatch):
    _accept(ledger, "r-1")
    connection = ledger._connection()

    def interrupt(**_):
        raise TimeLimit

    with monkeypatch.context() as patch:
        patch.setattr(connection, "read_response", interrupt)
        with pytest.raises(TimeLimit):
            _accept(ledger, "r-2")
    assert not _accept(ledger, "r-3").is_duplicate
    assert _accept(ledger, "r-2").is_duplicate


def test_a_connection_that_the_server_closed_is_made_anew_without_a_retry(ledger, client):
    _accept(ledger, "r-1")
    client.client_kill_filter(_type="normal", skipme=True)
    assert not _accept(ledger, "r-2").is_duplicate


def test_a_refused_command_leaves_its_connection_in_use(ledger):
    _accept(ledger, "r-1")
    connection = ledger._connection()
    with pytest.raises(redis.ResponseError):
        ledger._exchange("EVALSHA", "0" * 40, 0)
    assert connection.is_connected
    assert ledger._connection() is connection


def test_threads_do_not_share_a_connection(ledger):
    with ThreadPoolExecutor(8) as threads:
        runs = [f"r-{number}" for number in range(200)]
        keys = list(threads.map(lambda run_id: _accept(ledger, run_id).key, runs))
    assert [ledger.outputs(key, 0).run_id for key in keys] == runs


def test_threads_that_come_and_go_use_up_no_connections(ledger, client):
    _accept(ledger, "r")
    before = client.info("clients")["connected_clients"]
    for number in range(120):  # the client's pool makes 100 at most
        thread = threading.Thread(target=_accept, args=(ledger, f"r-{number}"))
        thread.start()
        thread.join()
    assert client.zcard("tw:due") == 121
    gc.collect()  # a connection points to itself
    wait_for(lambda: client.info("clients")["connected_clients"] <= before)


def test_a_forked_process_has_its_own_connection_and_leaves_its_parent_the_old(ledger, client):
    _accept(ledger, "r-1")
    before = ledger._connection()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _accept(ledger, "r-2")
            status = 0 if ledger._connection() is not before else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ledger._connection() is before
    assert before.is_connected
    assert _accept(ledger, "r-2").is_duplicate
    assert client.dbsize() > 0


def test_a_host_that_is_silent_is_tried_as_often_as_promised_and_no_oftener(monkeypatch):
    tries = []

    def never(self):
        tries.append(self)
        raise TimeoutError

    monkeypatch.setattr(redis.Connection, "_connect", never)
    silent = Scripts(connect("redis://127.0.0.1:1/0", timeout_s=0.1, retries=2))
    with pytest.raises(LedgerUnavailable):
        silent.run_step("outputs", "k", [1])
    assert len(tries) == 3


def test_a_server_that_is_gone_is_an_error_of_the_ledger(own_redis_server):
    server = own_redis_server()
    own = connect(server.url, timeout_s=1, retries=1)
    ledger = Ledger(own, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=60)
    _accept(ledger, "r-1")
    server.stop()
    with pytest.raises(LedgerUnavailable):
        _accept(ledger, "r-2")


def test_a_server_that_hangs_is_given_up_after_one_time_limit(own_redis_server):
    server = own_redis_server()
    own = connect(server.url, timeout_s=0.3, retries=0)
    ledger = Ledger(own, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=60)
    _accept(ledger, "r-1")
    before = _steps(own)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LedgerUnavailable, match="TimeoutError"):
            _accept(ledger, "r-2")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    # the late answer is not taken for the next one, and nothing was asked twice
    assert not _accept(ledger, "r-3").is_duplicate
    wait_for(lambda: _steps(own) == before + 2)
    assert _accept(ledger, "r-2").is_duplicate


def test_a_time_limit_that_is_no_whole_number_reaches_the_kernel(redis_server):
    own = connect(redis_server.url, timeout_s=1.25, retries=0)
    ledger = Ledger(own, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=60)
    _accept(ledger, "r-1")
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        kept = ledger._connection()._sock.getsockopt(socket.SOL_SOCKET, option, 16)
        seconds, microseconds = struct.unpack("ll", kept)
        assert seconds == 1
        assert 250_000 <= microseconds < 260_000  # it counts in ticks


def _follow(failover):
    failover.demote()


def _lose_the_link(failover):
    failover.demote()
    failover.old.config_set("replica-serve-stale-data", "no")
    failover.new.config_set("requirepass", "another")  # the old one is not let in again
    failover.new.client_kill_filter(_type="replica")
    wait_for(lambda: failover.old.info("replication")["master_link_status"] == "down")


def _lose_the_replicas(failover):
    failover.old.config_set("min-replicas-to-write", 1)


@pytest.fixture
def moving_ledger(failover):
    own = connect(failover.url, timeout_s=1, retries=0)
    ledger = Ledger(own, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=60)
    _accept(ledger, "before")
    return ledger


@pytest.mark.parametrize("demote", [_follow, _lose_the_link, _lose_the_replicas])
def test_a_step_finds_the_new_primary_though_the_old_one_answers(moving_ledger, failover, demote):
    demote(failover)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="NotThePrimary"):
            _accept(moving_ledger, "early")
    failover.new.config_set("requirepass", "")
    failover.lead_to_the_new()
    assert not _accept(moving_ledger, "late").is_duplicate
    assert failover.new.zcard("tw:due") == 1


def test_a_ledger_that_takes_no_writes_is_not_ready(moving_ledger, failover):
    moving_ledger.ping()
    failover.old.config_set("maxmemory", 1)
    with pytest.raises(LedgerUnavailable, match="OutOfMemoryError"):
        moving_ledger.ping()
    failover.old.config_set("maxmemory", 0)
    failover.demote()
    with pytest.raises(LedgerUnavailable, match="NotThePrimary"):
        moving_ledger.ping()
    failover.lead_to_the_new()
    moving_ledger.ping()
    assert failover.new.keys() == []
