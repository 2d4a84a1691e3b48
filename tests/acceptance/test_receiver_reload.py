"""The receiver takes changed tools on SIGHUP; with a mistake it keeps those it has."""

import itertools
import json
import os
import shutil
import signal

import pytest
import redis

from tests.receiver import ROOT, delivery, running_receiver, wait_for

TOOL = {
    "name": "mine",
    "description": "What one customer has.",
    "parameters": {
        "type": "object",
        "properties": {"customer": {"type": "integer"}},
        "required": ["customer"],
        "additionalProperties": False,
    },
    "bind": {"customer": "/context/customer"},
}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reload") / "tools"
    shutil.copytree(ROOT / "tools", folder)
    return folder


@pytest.fixture(scope="module")
def receiver(tmp_path_factory, redis_server, tools):
    folder = tmp_path_factory.mktemp("receiver")
    with running_receiver(folder, redis_server.url, TOOLS_DIR=str(tools)) as receiver:
        yield receiver


@pytest.fixture
def bound(receiver, redis_server):
    """What the ledger keeps of a new delivery for the tool that binds, from whichever process."""
    ledger = redis.Redis.from_url(redis_server.url)

    def bound():
        body = delivery(f"reload-{next(_numbers)}", ("c", "mine", "{}"), context={"customer": 42})
        status, answer = receiver.post(body)
        assert status == 202
        kept = ledger.hget(f"tw:run:{answer['key']}", "bound")
        return kept and json.loads(kept)

    return bound


def _write(tools, statement):
    (tools / "mine").mkdir(exist_ok=True)
    (tools / "mine" / "tool.json").write_text(json.dumps(TOOL))
    (tools / "mine" / "query.sql").write_text(statement)
    (tools / "mine" / "examples.json").write_text("[]")


def _are_new(receiver, old):
    pids = receiver.worker_pids()
    return len(pids) == len(old) and not set(pids) & set(old)


def test_what_a_new_tool_binds_is_kept_after_a_hangup_signal(receiver, tools, bound):
    assert bound() is None
    old = receiver.worker_pids()
    _write(tools, "SELECT %(customer)s::integer AS customer")
    os.kill(receiver.master.pid, signal.SIGHUP)
    wait_for(lambda: _are_new(receiver, old), within_s=20)
    assert "catalog.reloaded" in receiver.log()
    assert bound() == {"/context/customer": 42}


def test_with_a_mistake_in_a_tool_new_processes_have_the_tools_of_those_before(
    receiver, tools, bound
):
    old = receiver.worker_pids()
    _write(tools, "SELECT %(customer)s::integer AS customer")
    os.kill(receiver.master.pid, signal.SIGHUP)
    wait_for(lambda: _are_new(receiver, old), within_s=20)
    assert bound() == {"/context/customer": 42}
    _write(tools, "SELECT %(custommer)s::integer AS customer")
    old = receiver.worker_pids()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: _are_new(receiver, old), within_s=20)
    assert bound() == {"/context/customer": 42}

    old = receiver.worker_pids()
    os.kill(receiver.master.pid, signal.SIGHUP)
    wait_for(lambda: _are_new(receiver, old), within_s=20)
    (refused,) = [line for line in receiver.log().splitlines() if "catalog.refused" in line]
    assert "mine/query.sql:1: %(custommer)s is no property" in refused
    assert "cannot start" not in refused
    assert bound() == {"/context/customer": 42}
