"""The doctor names a Redis that is a cluster or lacks rights, and /readyz fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

import ledger
from ledger.errors import LedgerUnavailable
from ops.doctor import servers
from tests.receiver import running_receiver, wait_for

ROOT = Path(__file__).resolve().parents[2]


def doctor(**urls):
    """What the doctor prints of these Redis."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "doctor"],
        cwd=ROOT,
        env={"PATH": os.defpath, **urls},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


@pytest.fixture
def cluster(own_redis_server):
    """A cluster of one server, which has all slots."""
    server = own_redis_server(extra=["--cluster-enabled", "yes"])
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")))
    return server


def test_a_cluster_is_named_and_takes_no_runs(cluster, redis_server, tmp_path):
    sentence = "it runs in cluster mode, which Celery cannot use; give it a Redis without cluster"
    said = doctor(REDIS_URL=cluster.url, LEDGER_URL=cluster.url.replace("/0", ""))
    assert f"REDIS_URL: {sentence}\n" in said
    assert f"LEDGER_URL: {sentence}\n" in said
    with running_receiver(tmp_path, redis_server.url, LEDGER_URL=cluster.url) as receiver:
        status, answer, _ = receiver.ask("GET", "/readyz")
    assert status == 503
    assert answer == {"error": f"Not ready: the ledger takes no new runs: {sentence}."}


@pytest.fixture
def limited(own_redis_server):
    """The URL of a Redis whose user has the given rights."""

    def start(*rules):
        server = own_redis_server()
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "limited", "on", ">pw", *rules)
        return server.url.replace("redis://", "redis://limited:pw@")

    return start


@pytest.mark.parametrize(
    "rules", [("+@all", "-@scripting", "~*"), ("+@all", "~tw:run:*"), ("+@all", "-zadd", "~*")]
)
def test_a_ledger_whose_user_may_not_accept_runs_is_not_ready(limited, rules):
    url = limited(*rules)
    times = {"answer_by_s": 30, "expires_s": 60, "retention_s": 60, "dead_letter_retention_s": 60}
    client = ledger.connect(url, timeout_s=1, retries=0)
    with pytest.raises(LedgerUnavailable):
        ledger.Ledger(client, **times).ping()


def test_a_ledger_whose_user_may_do_all_that_is_needed_is_ready(limited):
    url = limited("+@all", "~tw:*", "resetchannels")
    times = {"answer_by_s": 30, "expires_s": 60, "retention_s": 60, "dead_letter_retention_s": 60}
    client = ledger.connect(url, timeout_s=1, retries=0)
    ledger.Ledger(client, **times).ping()
    assert client.keys("tw:*") == []


def test_a_ledger_of_its_own_is_synced_before_each_answer(own_redis_server):
    def problems(appendfsync, *, is_broker):
        server = own_redis_server(appendfsync=appendfsync, extra=["--maxmemory", "1gb"])
        checked = servers.redis_server(
            "LEDGER_URL", server.url, is_ledger=True, is_broker=is_broker
        )
        return [result.problem for result in checked]

    assert problems("everysec", is_broker=False) == [
        "appendfsync is not always: a power loss takes up to two seconds of accepted runs; "
        "set it to always, which only the ledger needs"
    ]
    assert problems("always", is_broker=False) == [None]
    # one Redis for both, as on a developer's machine, may be synced each second
    assert problems("everysec", is_broker=True) == [None]
