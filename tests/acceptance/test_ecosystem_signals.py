"""Celery's own signals come once a link, whether it was a message or ran behind another."""

import json
from collections import Counter

import pytest

from tests.acceptance.instruments import signals, unavailable
from tests.timing import until_unstalled

ARGUMENTS = json.dumps({"sku": "AB-1001", "warehouse": "US-WEST"})


LINKS = {"fan_out": 1, "validate": 3, "query": 3, "submit": 1}


@pytest.fixture(scope="module")
def signalling(start_service, tmp_path_factory):
    """A service whose worker writes the signals that it sends, and their folder."""
    folder = tmp_path_factory.mktemp("signals")
    modules = ("signals", "unavailable")
    options = [f"--include={','.join(f'tests.acceptance.instruments.{name}' for name in modules)}"]
    return start_service(worker_options=options, env={"SIGNALS_DIR": str(folder)}), folder


def _of_run(folder, key):
    return [found for found in signals.signalled(folder) if found[2].startswith(key)]


def _count(folder, key):
    return Counter((signal, name) for signal, name, _ in _of_run(folder, key))


def _answer_three(service):
    """The key of a run of three calls that was answered."""
    run_id = service.new_run_id()
    calls = ((f"c{n}", "search_inventory", ARGUMENTS) for n in range(3))
    key = service.deliver(run_id, *calls).body["key"]
    assert len(service.answer(run_id)) == 3
    assert len(service.submissions(run_id)) == 1
    return key


def test_prerun_postrun_and_success_come_once_a_link(signalling):
    service, folder = signalling
    expected = Counter(
        {
            (signal, name): count
            for signal in ("prerun", "postrun", "success")
            for name, count in LINKS.items()
        }
    )

    def attempt():
        key = _answer_three(service)
        service.wait_for(lambda: _count(folder, key) >= expected)
        # of a run that no worker began for 3 s, the reconciler sends the message again
        return key if _count(folder, key) == expected else None

    ids = [(signal, task_id) for signal, _, task_id in _of_run(folder, until_unstalled(attempt))]
    assert len(ids) == len(set(ids)) == 24


@pytest.mark.parametrize(
    ("step", "name"),
    [("begin", "fan_out"), ("start", "validate"), ("record", "query"), ("outputs", "submit")],
)
def test_a_link_whose_ledger_does_not_answer_sends_one_retry_and_no_failure(signalling, step, name):
    service, folder = signalling

    def attempt():
        unavailable.fail_once(folder, step)
        key = _answer_three(service)
        counts = service.wait_for(
            lambda: (c := _count(folder, key))["postrun", name] > LINKS[name] and c
        )
        return counts if counts["prerun", name] == LINKS[name] + 1 else None

    counts = until_unstalled(attempt)
    assert {key: count for key, count in counts.items() if key[0] in ("retry", "failure")} == {
        ("retry", name): 1
    }
    assert counts["prerun", name] == counts["postrun", name] == LINKS[name] + 1
