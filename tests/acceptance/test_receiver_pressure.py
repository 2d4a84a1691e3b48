"""Under overload the receiver answers 503 with a Retry-After that holds, and recovers."""

import itertools
import json

import pytest
import redis

from ops import deliveries
from tests.receiver import delivery, running_receiver, signed
from tests.timing import in_time

GOOD = ("good", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
BUSY = {"error": "Too many runs wait to begin; send it again later."}


def test_a_queue_that_stands_still_is_503_and_accepted_runs_are_answered(own_service):
    service = own_service(workers=0, env={"RUN_MAX_WAIT_S": "1", "RUN_ANSWER_BY_S": "6"})
    service.deliver("first", GOOD)
    new_runs = (service.deliver(f"r-{number}", GOOD) for number in itertools.count())
    refused = service.wait_for(lambda: (a := next(new_runs)).status == 503 and a)
    assert refused.body == BUSY
    assert service.deliver("first", GOOD).body["duplicate"] is True
    ready = deliveries.get(f"{service.stack.webhook_url}/readyz")
    assert (ready.status, ready.body) == (200, {"status": "ready"})
    service.stack.start_worker()
    assert set(service.answer("first")) == {"good"}
    service.wait_for(lambda: next(new_runs).status == 202)


def test_a_run_that_waits_for_genesys_rate_limit_refuses_no_new_run(own_service):
    service = own_service(env={"RUN_MAX_WAIT_S": "1", "RUN_MAX_WAITING": "1"})
    service.inject(submit=[{"status": 429, "retry_after": 8}])
    key = service.deliver("throttled", GOOD).body["key"]
    service.wait_for(lambda: [p["status"] for p in service.submissions("throttled")] == [429])
    service.wait_for(lambda: _age_s(service, key) > 1.5)
    assert service.deliver("other", GOOD).status == 202
    assert service.entry(key)["state"] == "submitting"  # it waits still
    assert set(service.answer("throttled")) == set(service.answer("other")) == {"good"}


def _age_s(service, key):
    seconds, micros = service.ledger().time()
    return seconds + micros / 1_000_000 - int(service.entry(key)["accepted_at"]) / 1000


@pytest.mark.parametrize("limit", ["1", "3"])
def test_a_new_run_is_refused_with_a_retry_after_when_too_many_wait(
    own_redis_server, tmp_path, limit
):
    env = {"RUN_MAX_WAITING": limit, "RUN_ANSWER_BY_S": "20"}
    with running_receiver(tmp_path, own_redis_server().url, **env) as receiver:
        for number in range(int(limit)):
            assert receiver.post(delivery(f"r-{number}"))[0] == 202
        body = delivery("one-more")
        headers = {"Content-Type": "application/json", **signed(body)}
        status, answer, told = in_time(
            lambda: receiver.ask("POST", "/webhook/tool-calls", body, headers), under_s=1
        )
        assert (status, answer, told["Retry-After"]) == (503, BUSY, "20")
        line = next(x for x in receiver.log().splitlines() if "delivery.refused" in x)
        assert (json.loads(line)["reason"], json.loads(line)["retry_after_s"]) == ("busy", 20)


def test_a_ledger_that_is_full_is_503_and_not_ready_until_there_is_room(own_redis_server, tmp_path):
    server = own_redis_server()
    client = redis.Redis.from_url(server.url)
    with running_receiver(tmp_path, server.url) as receiver:
        assert receiver.post(delivery("first"))[0] == 202
        client.config_set("maxmemory", 1)
        assert receiver.post(delivery("second"))[0] == 503
        assert receiver.post(delivery("first"))[1]["duplicate"] is True
        why = "its memory is full (maxmemory), so that it takes no writes"
        sentence = f"Not ready: the ledger takes no new runs: {why}."
        assert receiver.ask("GET", "/readyz")[:2] == (503, {"error": sentence})
        client.config_set("maxmemory", 0)
        assert receiver.post(delivery("second"))[0] == 202
        assert receiver.ask("GET", "/readyz")[0] == 200
