"""Each seeded fault raises one alert with its cause, and one when it ends."""

import json

import pytest
import redis

from tests.alert_receiver import SECRET, AlertReceiver

ARGUMENTS = json.dumps({"sku": "ZZ-987654", "warehouse": "US-WEST"})
CALL = ("c", "search_inventory", ARGUMENTS)


@pytest.fixture(scope="module")
def receiver():
    receiver = AlertReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def watched(start_service, receiver, tools_with_hold):
    env = {"ALERT_URL": receiver.url, "ALERT_SECRET": SECRET, "RUN_EXPIRES_S": "60"}
    return start_service(
        env={**env, "RUN_ANSWER_BY_S": "6"}, reconcilers=2, tools_dir=tools_with_hold
    )


@pytest.fixture
def alert(watched, receiver):
    """Wait for the one alert of a cause, and for its end."""

    def wait(kind, cause):
        watched.wait_for(lambda: (kind, cause) in receiver.told(), within_s=60)
        (event,) = [
            e for e in receiver.events if (e["type"], e["data"]["id"]) == (f"alert.{kind}", cause)
        ]
        return event["data"]

    return wait


def test_eight_faults_are_eight_alerts_with_their_causes_and_eight_ends(watched, receiver, alert):
    stack = watched.stack

    # 1: a dead letter; kept until it is dropped
    watched.inject(submit=[{"status": 422}])
    dead = watched.deliver(watched.new_run_id(), CALL).body["key"]
    found = alert("raised", "DEAD_LETTER:rejected")
    assert "Genesys refused it for good" in found["sentence"]
    assert found["next"][-1] == f"toolworker runs replay {dead} --mode submission"
    watched.toolworker("runs", "drop", dead)

    # 2: a tool that fails, with nothing between the first time and the twenty good calls
    watched.deliver(watched.new_run_id(), ("slow", "hold", '{"seconds": 5.5}'))
    assert "with timeout" in alert("raised", "TOOL_FAILS:hold")["sentence"]
    calls = [(f"c{n}", "hold", '{"seconds": 0}') for n in range(20)]
    run_id = watched.new_run_id()
    watched.deliver(run_id, *calls)
    watched.answer(run_id)

    # 3: the ledger is nearly full
    ledger = watched.ledger()
    used = ledger.info("memory")["used_memory"]
    ledger.config_set("maxmemory", int(used / 0.9))
    assert "of the ledger's maxmemory are used" in alert("raised", "LEDGER_NEARLY_FULL")["sentence"]
    ledger.config_set("maxmemory", "1gb")

    # 4: Genesys throttles; the run is late for it
    watched.inject(submit=[{"status": 429, "retry_after_s": 30}] * 3)
    watched.deliver(watched.new_run_id(), CALL)
    assert "429" in alert("raised", "RATE_LIMITED")["sentence"]
    watched.calm()

    # 5: Genesys is down
    watched.inject(submit=[{"status": 503}] * 200)
    for _ in range(8):
        watched.deliver(watched.new_run_id(), CALL)
    assert "Genesys is down" in alert("raised", "CIRCUIT_OPEN")["sentence"]
    watched.calm()

    # 6: no token
    watched.forget_genesys()
    watched.inject(token=[{"status": 503}] * 200)
    watched.deliver(watched.new_run_id(), CALL)
    assert "there is no token" in alert("raised", "NO_TOKEN")["sentence"]
    watched.inject(token=[])
    watched.calm()

    # 7: no worker
    for pid in stack.worker_pids:
        watched.kill(pid)
    assert alert("raised", "NO_WORKER")["next"][0] == "docker compose up -d worker"
    stack.start_worker()

    # 8: the broker is down
    stack.broker.stop()
    assert "broker does not answer" in alert("raised", "BROKER_DOWN")["sentence"]
    stack.broker.start()

    causes = [
        "DEAD_LETTER:rejected",
        "TOOL_FAILS:hold",
        "LEDGER_NEARLY_FULL",
        "RATE_LIMITED",
        "CIRCUIT_OPEN",
        "NO_TOKEN",
        "NO_WORKER",
        "BROKER_DOWN",
    ]
    for cause in causes:
        alert("ended", cause)
    assert sorted(receiver.told()) == sorted((k, c) for c in causes for k in ("raised", "ended"))
    assert len(set(receiver.ids)) == 16
    assert "ZZ-987654" not in json.dumps(receiver.events)


def test_a_receiver_that_is_down_gets_each_alert_once_it_is_back(watched, receiver):
    receiver.events.clear()
    receiver.status = 503
    client = redis.Redis.from_url(watched.stack.env["LEDGER_URL"])
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.9))
    watched.wait_for(lambda: client.llen("tw:alerts:outbox") == 1, within_s=30)
    client.config_set("maxmemory", "1gb")
    watched.wait_for(lambda: client.llen("tw:alerts:outbox") == 2, within_s=60)
    receiver.status = 204
    expected = [("raised", "LEDGER_NEARLY_FULL"), ("ended", "LEDGER_NEARLY_FULL")]
    watched.wait_for(lambda: receiver.told() == expected, within_s=60)
