"""An accepted run is answered at answer-by, ended at its expiry, and replayed when it was dead."""

import signal
import time

import pytest

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
FIRST = [{"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"}]


@pytest.fixture
def holding(own_service, tools_with_hold):
    def start(**options):
        return own_service(**{"tools_dir": tools_with_hold, **options})

    return start


def test_runs_that_no_worker_takes_are_all_answered_at_answer_by(holding):
    # a queue that is any time behind: no message is ever taken from it
    service = holding(workers=0, env={"RUN_ANSWER_BY_S": "5"})
    accepted = {}
    for number in range(100):
        service.deliver(f"r{number}", ("a", "search_inventory", GOOD), ("b", "get_order", "{}"))
        accepted[f"r{number}"] = time.time()
    records = service.wait_for(
        lambda: len(found := service.all_submissions()) >= 100 and found, within_s=20
    )
    waits = [record["at"] - accepted[record["run_id"]] for record in records]
    assert min(waits) > 4.8
    assert max(waits) < 7
    assert sorted(record["run_id"] for record in records) == sorted(accepted)
    outputs = service.answer("r0")
    assert [(output["code"], output["retryable"]) for output in outputs.values()] == [
        ("unavailable", True),
        ("unavailable", True),
    ]


def test_a_query_ends_two_seconds_before_answer_by(shared_holding):
    service, run_id = shared_holding, shared_holding.new_run_id()
    accepted = time.monotonic()
    service.deliver(run_id, ("slow", "hold", '{"seconds": 30}'), ("good", "search_inventory", GOOD))
    outputs = service.answer(run_id, within_s=10)
    assert time.monotonic() - accepted < 5.5
    assert outputs["slow"]["code"] == "timeout"
    assert outputs["good"]["items"][:1] == FIRST


def test_a_run_past_its_expiry_is_a_dead_letter_and_not_sent(holding):
    service = holding(env={"RUN_ANSWER_BY_S": "3", "RUN_EXPIRES_S": "6"})
    service.inject(submit=[503] * 1000)
    key = service.deliver("r", ("good", "search_inventory", GOOD)).body["key"]
    service.wait_for(lambda: service.entry(key).get("state") == "dead", within_s=15)
    assert service.entry(key)["reason"] == "expired"
    accepted_at = float(service.entry(key)["accepted_at"]) / 1000
    assert all(attempt["at"] - accepted_at < 6.5 for attempt in service.submissions("r"))


def test_a_publish_that_fails_is_still_202_and_answered(holding):
    service = holding()
    service.stack.broker.stop()
    answer = service.deliver("r", ("good", "search_inventory", GOOD))
    assert answer.status == 202
    service.stack.broker.start()
    assert service.answer("r", within_s=40)["good"]["items"][:1] == FIRST
    assert len(service.submissions("r")) == 1


def test_a_broker_that_stalls_holds_back_no_answer(holding):
    service = holding(env={"RUN_ANSWER_BY_S": "8"})
    broker = service.stack.broker.pid
    service.kill(broker, signal.SIGSTOP)
    try:
        accepted = {}
        for run_id in [service.new_run_id() for _ in range(12)]:
            assert service.deliver(run_id, ("good", "search_inventory", GOOD)).status == 202
            accepted[run_id] = time.time()
        # with 5 s for each publish the reconciler sent nothing for minutes
        for run_id, accepted_at in accepted.items():
            assert service.answer(run_id, within_s=30)["good"]["code"] == "unavailable"
            assert service.submissions(run_id)[0]["at"] - accepted_at < 8 + 5
    finally:
        service.kill(broker, signal.SIGCONT)


def test_an_outage_of_postgres_that_lasts_is_told_to_the_model(holding):
    service = holding(postgres=None, env={"RUN_ANSWER_BY_S": "6"})
    service.stack.postgres.stop()
    service.deliver("r", ("good", "search_inventory", GOOD))
    output = service.answer("r", within_s=10)["good"]
    assert (output["code"], output["retryable"]) == ("unavailable", True)


def _dead(service, run_id, *calls):
    key = service.deliver(run_id, *calls).body["key"]
    service.wait_for(lambda: service.entry(key).get("state") == "dead", within_s=20)
    return key


@pytest.mark.parametrize(
    ("mode", "generation", "asked_again"),
    [("submission", 0, set()), ("failed-calls", 1, {0}), ("full", 1, {0, 1})],
)
def test_a_dead_letter_is_replayed_in_each_mode(shared_holding, mode, generation, asked_again):
    service = shared_holding
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


def test_the_ledger_costs_five_round_trips_and_two_for_each_call(holding):
    # a reconciler asks every half second whether anything is due, whatever runs there are
    service = holding(reconcilers=0)
    # a script is loaded when it is first needed
    service.deliver("warm", *((f"c{i}", "search_inventory", GOOD) for i in range(3)))
    service.answer("warm")
    service.wait_for(lambda: service.ledger().zcard("tw:ended") == 1)
    service.ledger().config_resetstat()
    service.deliver("r", *((f"c{i}", "search_inventory", GOOD) for i in range(3)))
    service.wait_for(lambda: service.ledger().zcard("tw:ended") == 2)
    stats = service.ledger().info("commandstats")
    steps = sum(
        stats[name]["calls"] for name in stats if name in ("cmdstat_evalsha", "cmdstat_eval")
    )
    assert steps == 5 + 2 * 3
