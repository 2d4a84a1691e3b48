"""Rolling updates and scaling under traffic refuse no delivery twice, and every run is answered."""

import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from ops import deliveries
from tests.compose.project import PATH, docker, signed

pytestmark = pytest.mark.compose

SECONDS = float(os.environ.get("ROLL_SECONDS", "100"))
"""How long each change has traffic; shorter only to try it."""
RATE = 4.0
ARGUMENTS = '{"sku": "AB-1001", "warehouse": "US-WEST"}'


@dataclass
class Sent:
    """One delivery: when it was first sent, and how often it was refused before its 202."""

    run_id: str
    began: float
    refused: int = 0
    is_accepted: bool = False


class Traffic(threading.Thread):
    """Four deliveries a second of three calls; what is refused is sent again, as Genesys does."""

    def __init__(self, compose, name):
        super().__init__(daemon=True)
        self.sent, self.is_over = [], threading.Event()
        self._compose, self._name = compose, name

    def run(self):
        began = time.monotonic()
        with ThreadPoolExecutor(32) as senders:
            while not self.is_over.wait(max(0, began + len(self.sent) / RATE - time.monotonic())):
                self.sent.append(Sent(f"{self._name}-{len(self.sent)}", time.time()))
                senders.submit(self._send, self.sent[-1])

    def _send(self, sent):
        while not sent.is_accepted and sent.refused < 6:
            sent.is_accepted = _post(self._compose, sent.run_id)
            if not sent.is_accepted:
                sent.refused += 1
                time.sleep(1)


def _post(compose, run_id):
    calls = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": "search_inventory", "arguments": ARGUMENTS},
        }
        for number in range(3)
    ]
    body = json.dumps({"run_id": run_id, "tool_calls": calls}).encode()
    try:
        return compose.ask("POST", PATH, body, signed(body))[0] == 202
    except OSError:
        return False


@pytest.fixture(scope="module")
def rolling(compose):
    """The project with two receivers and four workers, a slow tool, and a further image."""
    image = f"{compose.image}-next"
    # Flower's image of that name may be left of somebody's own roll
    subprocess.run(["docker", "rmi", f"{image}-flower"], capture_output=True, check=False)
    text = f"FROM {compose.image}\nLABEL release=next\n"
    subprocess.run(["docker", "build", "-q", "-t", image, "-"], input=text, text=True, check=True)
    _write_hold(compose, "slept")
    compose.env["WEBHOOK_REPLICAS"] = "2"
    compose.up(workers=4)
    compose("exec", "-T", "worker", "toolworker", "tools", "reload")
    yield compose, image
    compose.env["WEBHOOK_REPLICAS"] = "1"
    compose.env["TOOLWORKER_IMAGE"] = compose.image
    compose("up", "-d", "--wait", "--scale", "worker=3")
    docker("rmi", image)


def _write_hold(compose, said):
    folder = compose.folder / "tools" / "hold"
    folder.mkdir(exist_ok=True)
    parameters = {
        "type": "object",
        "properties": {"seconds": {"type": "number"}},
        "required": ["seconds"],
        "additionalProperties": False,
    }
    tool = {"name": "hold", "description": said, "parameters": parameters}
    (folder / "tool.json").write_text(json.dumps(tool))
    (folder / "query.sql").write_text("SELECT 'x' AS x FROM pg_sleep(%(seconds)s::float8)")
    (folder / "examples.json").write_text("[]")


def _under_traffic(compose, name, change):
    """Make *change* 5 s into the traffic, and hold every run to what was promised; its figures."""
    traffic = Traffic(compose, name)
    traffic.start()
    began = time.monotonic()
    time.sleep(5)
    change()
    changed_s = time.monotonic() - began - 5
    traffic.is_over.wait(max(0, SECONDS - (time.monotonic() - began)))
    traffic.is_over.set()
    traffic.join()
    accepted = [sent for sent in traffic.sent if sent.is_accepted]
    compose.wait_until_answered([sent.run_id for sent in accepted])
    url = f"http://127.0.0.1:{compose.simulator}/_sim/submissions"
    answers = {}
    for record in deliveries.get(url).body:
        if record["status"] == 200:
            answers.setdefault(record["run_id"], []).append(record)
    waits, codes = [], {}
    for sent in accepted:
        (record,) = answers[sent.run_id]  # once
        waits.append(record["at"] - sent.began)
        for output in record["body"]["tool_calls"]:
            code = json.loads(output["output"]).get("code", "ok")
            codes[code] = codes.get(code, 0) + 1
    refused = [sent.refused for sent in traffic.sent]
    print(  # noqa: T201  (for the table of docs/production.md)
        f"\n{name}: {len(refused)} deliveries, the change took {changed_s:.0f} s; refused once"
        f" {refused.count(1)}, more often {sum(n > 1 for n in refused)}; calls {codes};"
        f" worst answer {max(waits):.1f} s, to number"
        f" {waits.index(max(waits))}; median {sorted(waits)[len(waits) // 2]:.2f} s,"
        f" load average {os.getloadavg()[0]:.0f}; the slowest:\n"
        + _timeline(compose, accepted[waits.index(max(waits))].run_id)
    )
    assert all(sent.is_accepted for sent in traffic.sent)
    assert max(refused) <= 1
    assert codes == {"ok": 3 * len(traffic.sent)}
    return max(waits)


def _timeline(compose, run_id):
    worker = compose.containers("worker")[0]
    command = ["docker", "exec", worker, "toolworker", "runs", "show", run_id]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _images(compose):
    """Those of all parts but Flower, which has an image of its own."""
    return {
        docker("inspect", "-f", "{{.Config.Image}}", container)
        for service in ("webhook", "worker", "reconciler", "dashboard")
        for container in compose.containers(service)
    }


def test_a_roll_to_a_new_image_and_back_refuses_no_delivery_twice(rolling):
    compose, image = rolling
    before = {name: len(compose.containers(name)) for name in ("webhook", "worker", "reconciler")}
    (flower,), printed = compose.containers("flower"), []
    for name, wanted in (("roll", image), ("back", compose.image)):
        worst_s = _under_traffic(
            compose, name, lambda wanted=wanted: printed.append(compose.roll(wanted))
        )
        assert worst_s < 5
        assert _images(compose) == {wanted}
        assert f"TOOLWORKER_IMAGE={wanted}\n" in (compose.folder / ".env.demo").read_text()
        assert before == {part: len(compose.containers(part)) for part in before}
        if wanted == image:  # of which Flower's is not here
            assert f"Flower was not replaced: there is no image {image}-flower here" in printed[0]
            assert compose.containers("flower") == [flower]
    (now,) = compose.containers("flower")
    assert now != flower
    assert docker("inspect", "-f", "{{.Config.Image}}", now) == f"{compose.image}-flower"


def test_an_image_that_does_not_work_changes_nothing(rolling):
    compose, _ = rolling
    broken = f"{compose.image}-broken"
    text = f'FROM {compose.image}\nENTRYPOINT ["false"]\n'
    subprocess.run(["docker", "build", "-q", "-t", broken, "-"], input=text, text=True, check=True)
    before = compose.containers("webhook")
    with pytest.raises(AssertionError):
        compose.roll(broken)
    assert compose.containers("webhook") == before
    docker("rmi", "--force", broken)


def test_scaling_4_1_4_refuses_no_delivery_twice(rolling):
    compose, _ = rolling

    def scale():
        for workers in (1, 4):
            compose.up(workers=workers)

    assert _under_traffic(compose, "scale", scale) < 5


def test_a_reload_of_tools_refuses_no_delivery_and_no_call(rolling):
    compose, _ = rolling
    printed = []

    def reload():
        _write_hold(compose, "changed")
        printed.append(compose("exec", "-T", "worker", "toolworker", "tools", "reload"))

    assert _under_traffic(compose, "reload", reload) < 5
    assert printed[0].count(", before ") == 4


def test_a_plain_restart_of_all_workers_answers_every_call_within_15_s(rolling):
    compose, _ = rolling
    assert _under_traffic(compose, "restart", lambda: compose("restart", "worker")) < 15


def test_a_worker_stops_within_5_s_and_with_a_call_of_3_s_within_8(rolling):
    compose, _ = rolling
    compose.up(workers=1)
    (worker,) = compose.containers("worker")
    began = time.monotonic()
    docker("stop", worker)
    idle_s = time.monotonic() - began
    compose.up(workers=1)
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "hold", "arguments": '{"seconds": 3}'},
    }
    body = json.dumps({"run_id": "stopped", "tool_calls": [call]}).encode()
    key = compose.ask("POST", PATH, body, signed(body))[1]["key"]
    url = (compose.folder / "ops/dev/demo/secrets/ledger_url").read_text().strip()
    ledger = ["exec", "-T", "ledger", "redis-cli", "--no-auth-warning", "-u"]
    url = url.replace("redis://:", "redis://default:")
    while not compose(*ledger, url, "HGET", f"tw:run:{key}", "holder:0").strip():
        time.sleep(0.1)
    (worker,) = compose.containers("worker")
    began = time.monotonic()
    docker("stop", worker)
    busy_s = time.monotonic() - began
    print(f"\nstopped: idle {idle_s:.1f} s, with a call of 3 s {busy_s:.1f} s")  # noqa: T201
    assert idle_s < 5
    assert busy_s < 8
    compose.up(workers=4)
    compose.wait_until_answered(["stopped"])
