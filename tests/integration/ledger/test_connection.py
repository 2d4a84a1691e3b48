"""The ledger's connections: redis-py's pool, its retries, and what a failover needs."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger import Ledger, connect
from ledger.errors import LedgerUnavailable
from tests.receiver import wait_for


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


def test_a_connection_that_the_server_closed_costs_a_retry_and_no_answer(ledger, client):
    _accept(ledger, "r-1")
    client.client_kill_filter(_type="normal", skipme=True)
    assert not _accept(ledger, "r-2").is_duplicate


def test_threads_do_not_share_a_connection(ledger):
    with ThreadPoolExecutor(8) as threads:
        runs = [f"r-{number}" for number in range(200)]
        keys = list(threads.map(lambda run_id: _accept(ledger, run_id).key, runs))
    assert [ledger.outputs(key, 0).run_id for key in keys] == runs


def test_a_step_that_is_refused_cuts_off_no_step_of_another_thread(client, redis_server):
    own = connect(redis_server.url, timeout_s=30, retries=0)
    ledger = Ledger(own, answer_by_s=30, expires_s=600, retention_s=60, dead_letter_retention_s=60)
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(own.blpop, ["list"], 20)
        wait_for(lambda: client.info("clients")["blocked_clients"] == 1)
        with pytest.raises(LedgerUnavailable, match="ResponseError"):
            ledger.call(lambda: own.execute_command("NO-SUCH-COMMAND"))
        client.rpush("list", "there")
        assert list(other.result()) == [b"list", b"there"]
    own.close()


def test_a_forked_process_does_not_use_its_parents_connection(ledger, client):
    _accept(ledger, "r-1")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _accept(ledger, "r-2")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert _accept(ledger, "r-2").is_duplicate
    assert client.zcard("tw:due") == 2


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
    # the late answer is not taken for the next one, and no step was sent twice
    assert not _accept(ledger, "r-3").is_duplicate
    wait_for(lambda: _steps(own) == before + 2)
    assert _accept(ledger, "r-2").is_duplicate


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
        with pytest.raises(LedgerUnavailable, match="Error"):
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
    with pytest.raises(LedgerUnavailable, match="Error"):
        moving_ledger.ping()
    failover.lead_to_the_new()
    moving_ledger.ping()
    assert failover.new.keys() == []
