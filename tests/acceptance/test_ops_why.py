"""`toolworker runs why` names what is wrong, in one command, while it is wrong."""

import contextlib
import json
import os
import shutil
import signal
import time

import psycopg
import pytest

from ops.dev.stack import Stack
from tests import forked_cli
from tests.service import Service

GOOD = ("c", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
WITHIN_S = 45.0
"""For a fault to show and be named: 2 to 7 s, and what a busy machine adds."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory, tools_with_hold):
    """One stack for all faults, with a Postgres of its own; each test repairs what it broke."""
    folder = tmp_path_factory.mktemp("why")
    # a fault has to last until it is named, beside busy processes, too: a query waits for a lock
    # no longer than its tool's timeout
    tools = shutil.copytree(tools_with_hold, folder / "tools")
    patient = {
        **json.loads((tools / "search_inventory/tool.json").read_text()),
        "timeout_ms": 40_000,
    }
    (tools / "search_inventory/tool.json").write_text(json.dumps(patient))
    env = {"RUN_ANSWER_BY_S": "60"}
    with Stack(folder, workers=2, concurrency=1, tools_dir=tools, env=env) as stack:
        yield Service(stack)


@pytest.fixture
def service(broken):
    yield broken
    broken.inject(submit=[], token=[])
    broken.forget_genesys()


def toolworker(service, *arguments):
    done = forked_cli.toolworker(*arguments, env=service.stack.env)
    assert "Traceback" not in done.stderr
    return done


def why(service, key):
    """Output of the command: its JSON, with the exit code."""
    done = toolworker(service, "runs", "why", key, "-o", "json")
    assert done.stderr == ""
    return {**json.loads(done.stdout), "exit_code": done.returncode}


def deliver(service, *calls):
    return service.deliver(service.new_run_id(), *(calls or (GOOD,))).body["key"]


def named(service, key, *reasons, fact=None):
    """The first answer with one of *reasons* and with *fact*, looked for four times a second."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        said = why(service, key)
        if said["reason"] in reasons and (fact is None or said["facts"][fact]):
            return said
        assert time.monotonic() < deadline, said
        time.sleep(0.25)


def test_a_table_that_is_locked_is_named_with_the_backend_that_holds_it(service):
    with psycopg.connect(service.stack.postgres.url) as blocker:
        blocker.execute("LOCK TABLE inventory IN ACCESS EXCLUSIVE MODE")
        key = deliver(service)
        said = named(service, key, "WAITING_ON_DATABASE")
        assert said["facts"]["blocked_by"] == blocker.info.backend_pid
        assert said["facts"]["relation"] == "inventory"
        assert (
            said["next"][1] == f'psql -c "SELECT pg_terminate_backend({blocker.info.backend_pid})"'
        )
        assert said["exit_code"] == 3
    assert named(service, key, "DONE")["exit_code"] == 0


def test_a_call_whose_worker_was_killed_is_an_orphan_until_another_has_it(service):
    key = deliver(service, ("c", "hold", '{"seconds": 5}'))
    child = service.owner_pid(key, 0)
    os.killpg(os.getpgid(child), signal.SIGKILL)  # the worker and all its processes
    said = named(service, key, "ORPHANED")
    assert said["facts"]["owner"].split(":")[-1] == str(child)
    assert said["facts"]["due_at"]
    service.stack.start_worker()


def test_a_postgres_that_is_down_is_named(service):
    service.stack.postgres.stop()
    try:
        key = deliver(service)
        said = named(service, key, "WAITING_ON_DATABASE")
        assert said["facts"]["database"] == "default"
        assert said["next"][0] == "toolworker doctor"
    finally:
        service.stack.postgres.start()
    service.answer(said["run_id"], within_s=25)


def test_a_genesys_that_answers_503_is_named_with_its_last_answer(service):
    service.inject(submit=[503] * 1000)
    key = deliver(service)
    said = named(service, key, "RETRYING", "CIRCUIT_OPEN")
    assert said["facts"]["last_attempt"]["status"] == 503
    service.inject(submit=[503] * 1000)
    keys = [key, *(deliver(service) for _ in range(4))]  # five failures in a row, of the fleet
    said = named(service, key, "CIRCUIT_OPEN")
    assert said["facts"]["failures_in_a_row"] >= 5
    service.inject(submit=[])  # the circuit closes, or the next test would find it open
    for sent in keys:  # and none of these may take the answer that is meant for the next test's run
        service.wait_for(lambda k=sent: service.entry(k)["state"] == "submitted")


def test_a_rate_limit_is_named_with_the_time_at_which_it_ends(service):
    service.inject(submit=[{"status": 429, "retry_after": 30}])
    key = deliver(service)
    # the gate closes for the whole fleet before the attempt is written down
    said = named(service, key, "RATE_LIMITED", fact="last_attempt")
    assert said["facts"]["last_attempt"]["status"] == 429
    other = named(service, deliver(service), "RATE_LIMITED")  # never sent, yet held by the same 429
    assert other["facts"]["attempts"] == 0
    assert 0 <= _ms(other["facts"]["until"]) - _ms(said["facts"]["until"]) < 2000


def test_bad_credentials_are_a_dead_letter_that_names_them(service):
    service.inject(token=[{"status": 400, "code": "invalid_client"}] * 10)
    service.forget_genesys()
    # a process goes on with its token for a second; what is sent with that is done
    said = named(service, deliver(service), "DEAD", "DONE")
    ends_at = time.monotonic() + WITHIN_S
    while said["reason"] == "DONE" and time.monotonic() < ends_at:
        said = named(service, deliver(service), "DEAD", "DONE")
    assert said["reason"] == "DEAD"
    assert "OAuth authentication failed. Verify client_id and client_secret." in said["sentence"]
    assert said["next"][1] == f"toolworker runs replay {said['key']} --mode submission"
    assert said["exit_code"] == 4


def test_a_call_that_ends_its_worker_each_time_is_named_as_that(service):
    key = deliver(service, ("bad", "hold", '{"seconds": 5}'), GOOD)
    killed = set()
    for _ in range(3):
        pid = service.wait_for(lambda: _new_owner(service, key, killed))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    said = named(service, key, "DONE")
    assert said["facts"]["error_outputs"][0]["code"] == "internal_error"
    assert (
        "call 0 (hold) internal_error after 3 tries that each ended its worker" in said["sentence"]
    )


def test_a_missing_worker_is_named(service):
    for worker in service.stack.children("worker"):
        worker.stop(signal.SIGKILL)
    key = deliver(service)
    said = named(service, key, "NO_WORKER")
    assert said["facts"]["workers"] == []
    assert said["next"][0] == "docker compose up -d worker"

    def stuck():
        done = toolworker(service, "runs", "list", "--stuck", "-o", "json")
        return done.returncode == 3 and [run["key"] for run in json.loads(done.stdout)] == [key]

    service.wait_for(stuck)
    service.stack.start_worker()
    named(service, key, "DONE")
    assert toolworker(service, "runs", "list", "--stuck").stdout == ""


def test_an_unknown_run_is_an_error_of_one_line(service):
    done = toolworker(service, "runs", "why", "nothing")
    assert (done.returncode, done.stderr) == (
        1,
        "Error: no run has the key, the id or the trace id nothing\n",
    )


def _new_owner(service, key, killed):
    holder = service.entry(key).get("holder:0", "")
    pid = int(holder.split(":")[-2]) if holder else 0
    return pid if pid not in killed else 0


def _ms(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%d %H:%M:%S")) * 1000
