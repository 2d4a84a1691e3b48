"""An accepted run is never lost, never stuck, and answered once, whatever dies in between."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
FIRST = [{"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"}]


@pytest.fixture
def holding(own_service, tools_with_hold):
    def start(**options):
        return own_service(**{"tools_dir": tools_with_hold, **options})

    return start


def test_a_child_that_is_killed_while_querying_does_not_cost_the_answer(holding):
    service = holding()
    key = service.deliver(
        "r", ("slow", "hold", '{"seconds": 1}'), ("good", "search_inventory", GOOD)
    ).body["key"]
    service.kill(service.holder_pid(key, 0))
    outputs = service.answer("r")
    assert outputs["slow"] == {"items": [{"state": "slept"}], "total": 1}
    assert outputs["good"]["items"][:1] == FIRST
    assert len(service.submissions("r")) == 1


def test_a_worker_host_that_dies_while_querying_is_made_up_for_in_15_s(holding):
    service = holding(workers=1)
    key = service.deliver("r", ("slow", "hold", '{"seconds": 2}')).body["key"]
    service.holder_pid(key, 0)
    service.kill(service.stack.worker_pids[0])
    killed = time.monotonic()
    service.stack.start_worker()
    assert service.answer("r", within_s=15)["slow"]["total"] == 1
    assert time.monotonic() - killed < 15


def test_a_worker_that_dies_while_posting_is_made_up_for_in_25_s_with_the_same_bytes(holding):
    service = holding(workers=1)
    service.inject(submit=[{"status": 200, "delay_s": 9}])
    service.deliver("r", ("good", "search_inventory", GOOD))
    service.wait_for(lambda: service.submissions("r"))
    service.kill(service.stack.worker_pids[0])
    service.wait_for(lambda: len(service.submissions("r")) == 2, within_s=25)
    first, second = service.submissions("r")
    assert first["sha256"] == second["sha256"]
    assert first["headers"]["Idempotency-Key"] == second["headers"]["Idempotency-Key"]


def test_a_call_that_kills_three_workers_is_given_up_and_its_siblings_are_answered(holding):
    service = holding()
    key = service.deliver(
        "r", ("bad", "hold", '{"seconds": 5}'), ("good", "search_inventory", GOOD)
    ).body["key"]
    killed = set()
    for _ in range(3):
        pid = service.wait_for(lambda: (p := service.holder_pid(key, 0)) not in killed and p)
        service.kill(pid)
        killed.add(pid)
    outputs = service.answer("r", within_s=30)
    assert outputs["bad"]["code"] == "internal_error"
    assert outputs["good"]["items"][:1] == FIRST
    assert service.entry(key)["tries:0"] == "3"


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
        ("timeout", True),
        ("timeout", True),
    ]


def test_a_query_ends_two_seconds_before_answer_by(holding):
    service = holding(env={"RUN_ANSWER_BY_S": "5"})
    accepted = time.monotonic()
    service.deliver("r", ("slow", "hold", '{"seconds": 30}'), ("good", "search_inventory", GOOD))
    outputs = service.answer("r", within_s=10)
    assert time.monotonic() - accepted < 4.5
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


def test_a_publish_that_fails_is_still_202_and_answered(holding, own_redis_server):
    ledger = own_redis_server(appendfsync="always")
    service = holding(env={"LEDGER_URL": ledger.url})
    service.stack.redis.stop()
    answer = service.deliver("r", ("good", "search_inventory", GOOD))
    assert answer.status == 202
    service.stack.redis.start()
    assert service.answer("r", within_s=40)["good"]["items"][:1] == FIRST
    assert len(service.submissions("r")) == 1


def test_a_ledger_that_is_away_is_503_within_a_second_and_the_retry_is_a_new_run(holding):
    service = holding()
    service.stack.redis.stop()
    began = time.monotonic()
    answer = service.deliver("r", ("good", "search_inventory", GOOD))
    assert (answer.status, time.monotonic() - began < 1) == (503, True)
    service.stack.redis.start()
    answer = service.wait_for(
        lambda: (a := service.deliver("r", ("good", "search_inventory", GOOD))).status == 202 and a
    )
    assert "duplicate" not in answer.body
    service.answer("r", within_s=30)
    assert len(service.submissions("r")) == 1


def test_an_outage_of_postgres_is_outlived_while_there_is_time(holding):
    service = holding(postgres=None)
    service.stack.postgres.stop()
    key = service.deliver("r", ("good", "search_inventory", GOOD)).body["key"]
    service.wait_for(lambda: int(service.entry(key).get("round", 0)) >= 3)  # fanned out anew twice
    service.stack.postgres.start()
    assert service.answer("r", within_s=25)["good"]["items"][:1] == FIRST


def test_an_outage_of_postgres_that_lasts_is_told_to_the_model(holding):
    service = holding(postgres=None, env={"RUN_ANSWER_BY_S": "6"})
    service.stack.postgres.stop()
    service.deliver("r", ("good", "search_inventory", GOOD))
    output = service.answer("r", within_s=10)["good"]
    assert (output["code"], output["retryable"]) == ("unavailable", True)


def _toolworker(service, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        env=service.stack.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    assert key in _toolworker(service, "runs", "list", "--state", "dead")
    _toolworker(service, "runs", "replay", mode, "--mode", mode)
    service.answer(mode)
    refused, accepted = service.submissions(mode)
    assert accepted["headers"]["Idempotency-Key"] == (f"{key}.1" if generation else key)
    assert accepted["sha256"] == refused["sha256"]  # the slow query is as slow as before
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    after = [service.entry(key).get(f"started_at:{i}") for i in (0, 1)]
    assert {i for i in (0, 1) if after[i] not in (None, before[i])} == asked_again
    assert service.entry(key)["generation"] == str(generation)
    assert _toolworker(service, "runs", "list", "--state", "dead") == ""


def test_an_operator_sees_the_timeline_and_none_of_the_data(holding):
    service = holding()
    key = service.deliver("r", ("good", "search_inventory", GOOD)).body["key"]
    service.wait_for(lambda: service.entry(key).get("state") == "submitted")
    for text in (
        _toolworker(service, "runs", "show", "r"),
        _toolworker(service, "runs", "show", key, "-o", "json"),
    ):
        assert "search_inventory" in text
        assert "AB-1001" not in text
    assert json.loads(_toolworker(service, "runs", "list", "-o", "json"))[0]["key"] == key
    _toolworker(service, "runs", "drop", key)
    assert _toolworker(service, "runs", "list") == ""


def test_the_ledger_costs_five_round_trips_and_two_for_each_call(holding, own_redis_server):
    ledger = own_redis_server()
    # a reconciler asks every half second whether anything is due, whatever runs there are
    service = holding(reconcilers=0, env={"LEDGER_URL": ledger.url})
    service.deliver("warm", ("a", "search_inventory", GOOD))
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


def test_a_finished_run_fits_in_the_compact_form_of_redis(service):
    key = service.deliver("compact", *((f"c{i}", "search_inventory", GOOD) for i in range(3))).body[
        "key"
    ]
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    assert service.ledger().object("encoding", f"tw:run:{key}") == "listpack"
    assert service.ledger().memory_usage(f"tw:run:{key}") < 1400
