"""Each seeded fault raises one alert with its cause, and one when it ends."""

import json
import time

import pytest

from ops.dev.stack import Stack
from tests.alert_receiver import SECRET, AlertReceiver
from tests.service import Service

ARGUMENTS = json.dumps({"sku": "ZZ-987654", "warehouse": "US-WEST"})
CALL = ("c", "search_inventory", ARGUMENTS)
DOWN_S = 60
CAUSES = (
    "DEAD_LETTER:rejected",
    "TOOL_FAILS:hold",
    "LEDGER_NEARLY_FULL",
    "RATE_LIMITED",
    "CIRCUIT_OPEN",
    "NO_TOKEN",
    "NO_WORKER",
    "BROKER_DOWN",
)


class Watched(Service):
    """A service whose alerts are received."""

    def __init__(self, stack, receiver):
        super().__init__(stack)
        self.receiver = receiver
        self.took_s = {}

    def alert(self, kind, cause, since=None):
        """The data of the one event of a cause, waited for."""
        self.wait_for(lambda: (kind, cause) in self.receiver.told(), within_s=90)
        if since is not None:
            self.took_s[cause] = time.monotonic() - since
        (event,) = [
            event
            for event in self.receiver.events
            if (event["type"], event["data"]["id"]) == (f"alert.{kind}", cause)
        ]
        return event["data"]


@pytest.mark.chaos
def test_eight_faults_are_eight_alerts_with_their_causes_and_eight_ends(
    tmp_path, tools_with_hold, request, capsys
):
    receiver = AlertReceiver()
    env = {"ALERT_URL": receiver.url, "ALERT_SECRET": SECRET, "RUN_ANSWER_BY_S": "6"}
    with Stack(tmp_path, reconcilers=2, env=env, tools_dir=tools_with_hold) as stack:
        watched = Watched(stack, receiver)
        _seed_faults(watched)
        for cause in CAUSES:
            watched.alert("ended", cause)
        _receiver_down(watched)
        took = ", ".join(f"{cause} {took_s:.0f} s" for cause, took_s in watched.took_s.items())
    receiver.close()
    with capsys.disabled():
        request.config.pluginmanager.getplugin("terminalreporter").write_line(f"\n{took}")
    told = [*CAUSES, "DEAD_LETTER:rejected"]  # the last while the receiver was down
    assert sorted(receiver.told()) == sorted((k, c) for c in told for k in ("raised", "ended"))
    assert len(set(receiver.ids)) == 18
    assert max(watched.took_s.values()) < 30
    assert "ZZ-987654" not in json.dumps(receiver.events)


def _receiver_down(watched):
    """A fault comes and goes while the receiver of alerts is down for a minute."""
    receiver, until = watched.receiver, time.monotonic() + DOWN_S
    receiver.status = 503
    watched.inject(submit=[{"status": 422}])
    dead = watched.deliver(watched.new_run_id(), CALL).body["key"]
    outbox = "tw:alerts:outbox"
    watched.wait_for(lambda: watched.ledger().llen(outbox) == 1, within_s=40)
    watched.toolworker("runs", "drop", dead)
    watched.wait_for(lambda: watched.ledger().llen(outbox) == 2, within_s=60)
    time.sleep(max(0.0, until - time.monotonic()))
    assert len(receiver.events) == 16
    receiver.status = 204
    watched.wait_for(lambda: len(receiver.events) == 18, within_s=60)


def _seed_faults(watched):
    """Break one part after the other, wait for its alert, and repair it."""
    stack, alert = watched.stack, watched.alert

    # 1: a dead letter; kept until it is dropped
    since = time.monotonic()
    watched.inject(submit=[{"status": 422}])
    dead = watched.deliver(watched.new_run_id(), CALL).body["key"]
    found = alert("raised", "DEAD_LETTER:rejected", since)
    assert "Genesys refused it for good" in found["sentence"]
    assert found["next"][-1] == f"toolworker runs replay {dead} --mode submission"
    watched.toolworker("runs", "drop", dead)

    # 2: a tool that fails, with nothing between the first time and the twenty good calls
    since = time.monotonic()
    watched.deliver(watched.new_run_id(), ("slow", "hold", '{"seconds": 5.5}'))
    since += 4  # its time-out
    assert "with timeout" in alert("raised", "TOOL_FAILS:hold", since)["sentence"]
    calls = [(f"c{n}", "hold", '{"seconds": 0}') for n in range(20)]
    run_id = watched.new_run_id()
    watched.deliver(run_id, *calls)
    watched.answer(run_id)

    # 3: the ledger is nearly full
    since = time.monotonic()
    ledger = watched.ledger()
    used = ledger.info("memory")["used_memory"]
    ledger.config_set("maxmemory", int(used / 0.9))
    assert (
        "of the ledger's maxmemory are used"
        in alert("raised", "LEDGER_NEARLY_FULL", since)["sentence"]
    )
    ledger.config_set("maxmemory", "1gb")

    # 4: Genesys throttles; the run is late for it
    since = time.monotonic()
    watched.inject(submit=[{"status": 429, "retry_after": 30}])
    watched.deliver(watched.new_run_id(), CALL)
    since += 8  # answer-by and 2 s: it is stuck from then on
    assert "429" in alert("raised", "RATE_LIMITED", since)["sentence"]
    watched.calm()

    # 5: Genesys is down
    since = time.monotonic()
    watched.inject(submit=[{"status": 503}] * 200)
    for _ in range(8):
        watched.deliver(watched.new_run_id(), CALL)
    assert "Genesys is down" in alert("raised", "CIRCUIT_OPEN", since)["sentence"]
    watched.calm()

    # 6: no token
    since = time.monotonic()
    watched.forget_genesys()
    watched.inject(token=[{"status": 503}] * 200)
    watched.deliver(watched.new_run_id(), CALL)
    assert "there is no token" in alert("raised", "NO_TOKEN", since)["sentence"]
    watched.inject(token=[])
    watched.calm()

    # 7: no worker
    since = time.monotonic()
    for pid in stack.worker_pids:
        watched.kill(pid)
    assert alert("raised", "NO_WORKER", since)["next"][0] == "docker compose up -d worker"
    stack.start_worker()

    # 8: the broker is down
    since = time.monotonic()
    stack.broker.stop()
    assert "broker does not answer" in alert("raised", "BROKER_DOWN", since)["sentence"]
    stack.broker.start()
