"""An accepted run is answered at answer-by, ended at its expiry, and replayed when it was dead."""

import signal
import time
from contextlib import contextmanager

import pytest

from tests.timing import until_unstalled

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
FIRST = [{"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"}]


@pytest.fixture(scope="module")
def shared_holding(start_service, tools_with_hold):
    """A stack whose runs are answered after 6 s, with a Postgres of its own."""
    env = {"RUN_ANSWER_BY_S": "6"}
    return start_service(tools_dir=tools_with_hold, postgres=None, env=env)


@pytest.fixture
def service(shared_holding):
    """The stack that the tests share; each leaves it whole."""
    yield shared_holding
    shared_holding.calm()


@contextmanager
def _stopped(service, pids):
    """Let processes stand still, as on a machine that swaps."""
    for pid in pids:
        service.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            service.kill(pid, signal.SIGCONT)


def test_the_ledger_costs_five_round_trips_and_two_for_each_call(service):
    def deliver_three(run_id):
        calls = [(f"c{i}", "search_inventory", GOOD) for i in range(3)]
        key = service.deliver(run_id, *calls).body["key"]
        service.wait_for(lambda: service.ledger().zscore("tw:ended", key) is not None)

    # a reconciler polls every half second, whatever runs there are
    reconcilers = [reconciler.pid for reconciler in service.stack.children("reconciler")]
    with _stopped(service, reconcilers):
        deliver_three(service.new_run_id())  # a script is loaded when it is first needed

        def steps():
            with service.ledger().monitor() as monitor:
                deliver_three(service.new_run_id())
                service.ledger().echo("end")
                seen = list(iter(lambda: _command(monitor), "ECHO"))
            # a connection's first words, and this test's own
            others = ("CLIENT", "HELLO", "AUTH", "SELECT", "ZSCORE")
            return [name for name in seen if name not in others]

        # one more where Redis was stopped, and a step sent again
        found = [steps()]
        while len(found[-1]) > 11 and len(found) < 3:
            found.append(steps())
    assert found[-1] == ["EVALSHA"] * (5 + 2 * 3)


def test_a_small_run_overtakes_a_large_one_that_began_before(service):
    large, small = service.new_run_id(), service.new_run_id()
    calls = [(f"c{number}", "hold", '{"seconds": 0.03}') for number in range(40)]
    key = service.deliver(large, *calls).body["key"]
    service.wait_for(lambda: int(service.entry(key)["outputs"]) > 0)
    service.deliver(small, *[(f"c{number}", "search_inventory", GOOD) for number in range(3)])
    service.answer(large)
    assert service.submissions(small)[0]["at"] < service.submissions(large)[0]["at"]


def _command(monitor):
    """The name of the next command that a client sent."""
    while (command := monitor.next_command())["client_type"] == "lua":
        pass  # a script's own
    return command["command"].split()[0].upper()


def test_runs_that_no_worker_takes_are_all_answered_at_answer_by(own_service):
    # a queue that is any time behind: no message is ever taken from it
    service = own_service(workers=0, env={"RUN_ANSWER_BY_S": "5"})
    accepted = {}
    for number in range(100):
        sent = time.time()
        service.deliver(f"r{number}", ("a", "search_inventory", GOOD), ("b", "get_order", "{}"))
        accepted[f"r{number}"] = (sent, time.time())
    records = service.wait_for(lambda: len(found := service.all_submissions()) >= 100 and found)
    earliest = [record["at"] - accepted[record["run_id"]][1] for record in records]
    latest = [record["at"] - accepted[record["run_id"]][0] for record in records]
    assert min(latest) >= 4.99
    # within 2 s of answer-by, and what a stopped reconciler or Genesys adds to all that wait
    assert max(earliest) < 5 + 2 + 4
    assert sorted(record["run_id"] for record in records) == sorted(accepted)
    outputs = service.answer("r0")
    assert [(output["code"], output["retryable"]) for output in outputs.values()] == [
        ("unavailable", True),
        ("unavailable", True),
    ]


def test_a_query_ends_two_seconds_before_answer_by(service):
    slow, good = ("slow", "hold", '{"seconds": 30}'), ("good", "search_inventory", GOOD)

    def attempt():
        run_id, began = service.new_run_id(), time.monotonic()
        service.deliver(run_id, slow, good)
        outputs = service.answer(run_id)
        # at answer-by the reconciler sends what there is
        return outputs if time.monotonic() - began < 5.5 else None

    outputs = until_unstalled(attempt)
    assert outputs["slow"]["code"] == "timeout"
    assert outputs["good"]["items"][:1] == FIRST


def test_a_run_past_its_expiry_is_a_dead_letter_and_not_sent(own_service):
    service = own_service(env={"RUN_ANSWER_BY_S": "3", "RUN_EXPIRES_S": "6"})
    service.inject(submit=[503] * 1000)
    key = service.deliver("r", ("good", "search_inventory", GOOD)).body["key"]
    service.wait_for(lambda: service.entry(key).get("state") == "dead")
    entry = service.entry(key)
    assert entry["reason"] == "expired"
    begun = [int(value) for name, value in entry.items() if name.startswith("attempt_at:")]
    assert len(begun) == int(entry["attempts"]) > 0
    assert max(begun) < int(entry["accepted_at"]) + 6_000


def test_a_publish_that_fails_is_still_202_and_answered(own_service):
    service = own_service()
    service.stack.broker.stop()
    answer = service.deliver("r", ("good", "search_inventory", GOOD))
    assert answer.status == 202
    service.stack.broker.start()
    assert service.answer("r", within_s=40)["good"]["items"][:1] == FIRST
    assert len(service.submissions("r")) == 1


def test_a_broker_that_stalls_holds_back_no_answer(service):
    with _stopped(service, [service.stack.broker.pid]):
        accepted = {}
        for run_id in [service.new_run_id() for _ in range(12)]:
            assert service.deliver(run_id, ("good", "search_inventory", GOOD)).status == 202
            accepted[run_id] = time.time()
        # with 5 s for each publish the reconciler sent nothing for minutes
        for run_id, accepted_at in accepted.items():
            assert service.answer(run_id, within_s=30)["good"]["code"] == "unavailable"
            assert service.submissions(run_id)[0]["at"] - accepted_at < 6 + 5


def test_a_lasting_outage_of_postgres_is_an_error_output_for_the_model(service):
    run_id = service.new_run_id()
    service.stack.postgres.stop()
    try:
        service.deliver(run_id, ("good", "search_inventory", GOOD))
        output = service.answer(run_id)["good"]
    finally:
        service.stack.postgres.start()
    assert (output["code"], output["retryable"]) == ("unavailable", True)


def _dead(service, run_id, *calls):
    key = service.deliver(run_id, *calls).body["key"]
    service.wait_for(lambda: service.entry(key).get("state") == "dead")
    return key


@pytest.mark.parametrize(
    ("mode", "generation", "asked_again"),
    [("submission", 0, set()), ("failed-calls", 1, {0}), ("full", 1, {0, 1})],
)
def test_a_dead_letter_is_replayed_in_each_mode(service, mode, generation, asked_again):
    service.inject(submit=[403])
    slow, good = ("slow", "hold", '{"seconds": 30}'), ("good", "search_inventory", GOOD)
    key = _dead(service, mode, slow, good)
    before = [service.entry(key)[f"started_at:{i}"] for i in (0, 1)]
    assert key in service.toolworker("runs", "list", "--state", "dead")
    service.toolworker("runs", "replay", mode, "--mode", mode)
    service.answer(mode)
    refused, accepted = service.submissions(mode)
    assert accepted["headers"]["Idempotency-Key"] == (f"{key}.1" if generation else key)
    assert accepted["sha256"] == refused["sha256"]  # the slow query is as slow as before
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    after = [service.entry(key).get(f"started_at:{i}") for i in (0, 1)]
    assert {i for i in (0, 1) if after[i] not in (None, before[i])} == asked_again
    assert service.entry(key)["generation"] == str(generation)
    assert service.toolworker("runs", "list", "--state", "dead") == ""
