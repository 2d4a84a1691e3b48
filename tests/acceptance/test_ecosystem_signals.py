"""Celery's own signals come once a link, whether it was a message or ran behind another."""

import json
from collections import Counter

import pytest

from tests.acceptance.instruments import signals

ARGUMENTS = json.dumps({"sku": "AB-1001", "warehouse": "US-WEST"})


LINKS = {"fan_out": 1, "validate": 3, "query": 3, "submit": 1}


@pytest.fixture
def signalling(own_service, tmp_path):
    """Start a service whose worker writes the signals that it sends; gives it and their folder."""
    folder = tmp_path / "signals"
    folder.mkdir()
    modules = ("signals", "unavailable")
    options = [f"--include={','.join(f'tests.acceptance.instruments.{name}' for name in modules)}"]

    def start(**env):
        env = {"SIGNALS_DIR": str(folder), **env}
        return own_service(worker_options=options, env=env), folder

    return start


def _count(folder):
    return Counter((signal, name) for signal, name, _ in signals.signalled(folder))


def _answer_three(service):
    run_id = service.new_run_id()
    service.deliver(run_id, *((f"c{n}", "search_inventory", ARGUMENTS) for n in range(3)))
    assert len(service.answer(run_id)) == 3
    assert len(service.submissions(run_id)) == 1


def test_prerun_postrun_and_success_come_once_a_link(signalling):
    service, folder = signalling()
    _answer_three(service)
    expected = {
        (signal, name): count
        for signal in ("prerun", "postrun", "success")
        for name, count in LINKS.items()
    }
    service.wait_for(lambda: _count(folder) == expected)
    ids = [(signal, task_id) for signal, _, task_id in signals.signalled(folder)]
    assert len(ids) == len(set(ids)) == 24


@pytest.mark.parametrize(
    ("step", "name"),
    [("begin", "fan_out"), ("start", "validate"), ("record", "query"), ("outputs", "submit")],
)
def test_a_link_whose_ledger_does_not_answer_sends_one_retry_and_no_failure(signalling, step, name):
    service, folder = signalling(FAIL_ONCE=step)
    _answer_three(service)
    counts = service.wait_for(lambda: (c := _count(folder))["postrun", name] > LINKS[name] and c)
    assert {key: count for key, count in counts.items() if key[0] in ("retry", "failure")} == {
        ("retry", name): 1
    }
    assert counts["prerun", name] == counts["postrun", name] == LINKS[name] + 1
