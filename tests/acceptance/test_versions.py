"""The last release and this one on the same two Redis: side by side, upgraded, rolled back."""

import io
import itertools
import json
import shutil
import signal
import subprocess
import tarfile
import threading
import time

import pytest

from ops import deliveries
from ops.dev.children import Child
from ops.dev.server import free_port
from ops.dev.stack import WORKER, Stack, is_up
from tests.service import ROOT, Service

pytestmark = pytest.mark.versions

LAST_RELEASE = "95c5276c8d66a8ac238944ba8f8f823f257f3f95"
GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
ITEMS = [{"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"}]
SLOW = '{"seconds": 0.3}'
NEW_KEYS = {"columns", "aliases"}
EVERY_S, TRAFFIC_S = 0.25, 6.0
WORST_S = 5.0


@pytest.fixture(scope="session")
def last_release(tmp_path_factory):
    """The sources of the last release."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("the history is not here")
    done = subprocess.run(
        [shutil.which("git") or "git", "archive", LAST_RELEASE],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("the history does not reach back to the last release")
    folder = tmp_path_factory.mktemp("last-release")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Releases:
    """Starts each part of the service from one of two releases."""

    def __init__(self, service, last_release):
        self.service = service
        self._folders = {"old": last_release, "new": ROOT}
        self._children = []

    def start_worker(self, release, *, processes=2):
        """A worker that takes messages."""
        command = ["-m", "ops.cli", "worker"] if release == "old" else list(WORKER)
        name = f"{release}-worker-{len(self._children)}"
        child = self._start(release, name, *command, "-c", str(processes), "-n", f"{name}@%h")
        child.wait_until(lambda: child.has_logged(" ready."), timeout_s=30)
        return child

    def start_reconciler(self, release):
        """A reconciler that looks after runs."""
        name = f"{release}-reconciler-{len(self._children)}"
        child = self._start(release, name, "-m", "ops.cli", "reconcile")
        child.wait_until(lambda: child.has_logged("reconciler.started"), timeout_s=30)
        return child

    def start_receiver(self, release):
        """A receiver that is ready; gives its address."""
        url = f"http://127.0.0.1:{(port := free_port())}"
        options = ["-c", "python:webhook.gunicorn", "--bind", f"127.0.0.1:{port}"]
        name = f"{release}-receiver-{len(self._children)}"
        child = self._start(release, name, "-m", "gunicorn", *options, "webhook:create_app()")
        child.wait_until(lambda: is_up(f"{url}/readyz"), timeout_s=30)
        return url

    def stop(self):
        """Stop all that was started."""
        for child in reversed(self._children):
            child.stop()

    def _start(self, release, name, *arguments):
        folder = self._folders[release]
        env = {**self.service.stack.env, "PYTHONPATH": str(folder)}
        child = Child(name, arguments, env=env, logs=self.service.stack.logs, cwd=folder)
        self._children.append(child)
        return child


@pytest.fixture
def releases(last_release, tmp_path, postgres_server, tools_with_hold):
    """Two Redis, Postgres and Genesys, for which a test starts the programs."""
    tools = shutil.copytree(tools_with_hold, tmp_path / "tools")
    for path in tools.glob("*/tool.json"):  # the last release does not know these, and refuses them
        known = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in known.items() if k not in NEW_KEYS}))
    options = {"tools_dir": tools, "postgres": postgres_server}
    with Stack(tmp_path / "stack", workers=0, reconcilers=0, **options) as stack:
        started = Releases(Service(stack), last_release)
        yield started
        started.stop()


class Traffic:
    """Runs of 1, 3 and 12 calls in turn, to one receiver after the other, until it is left."""

    def __init__(self, service, urls):
        self._service, self._urls = service, itertools.cycle(urls)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failed = []
        self.accepted = {}

    def send(self, *calls):
        """Deliver one run; gives its id."""
        run_id = self._service.new_run_id()
        body = {
            "run_id": run_id,
            "tool_calls": [
                {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": given}}
                for n, (name, given) in enumerate(calls)
            ],
        }
        url, secret = next(self._urls), self._service.stack.secret.encode()
        path = f"{url}/webhook/tool-calls"
        answer = deliveries.send(path, json.dumps(body).encode(), secret=secret)
        assert answer.status == 202, answer
        self.accepted[run_id] = (time.time(), calls)
        return run_id

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        assert not self._failed

    def go_on(self, seconds):
        """Let runs come for so long."""
        self._stop.wait(seconds)

    def _run(self):
        for count in itertools.cycle((1, 3, 12)):
            if self._stop.wait(EVERY_S):
                return
            try:
                self.send(*[("search_inventory", GOOD)] * count)
            except (AssertionError, deliveries.NoAnswer) as error:
                self._failed.append(error)
                return

    def worst_s(self):
        """Wait for all answers, hold each to what was sent; gives the longest wait for one."""
        service = self._service

        def answered():
            records = [record for record in service.all_submissions() if record["status"] == 200]
            return records if {r["run_id"] for r in records} >= set(self.accepted) else None

        records = service.wait_for(answered, within_s=30)
        by_run = {}
        for record in service.all_submissions():
            by_run.setdefault(record["run_id"], []).append(record)
        for run_id, (_, calls) in self.accepted.items():
            (record,) = by_run[run_id]
            outputs = record["body"]["tool_calls"]
            assert [output["tool_call_id"] for output in outputs] == [
                f"c{n}" for n in range(len(calls))
            ]
            for (name, _), output in zip(calls, outputs, strict=True):
                expected = ITEMS if name == "search_inventory" else [{"state": "slept"}]
                assert json.loads(output["output"])["items"][:1] == expected
        worst = max(r["at"] - self.accepted[r["run_id"]][0] for r in records)
        print(f"{len(self.accepted)} runs, worst answer {worst:.2f} s")  # noqa: T201
        return worst


def _left(service):
    broker = service.broker()
    return {
        **{queue: broker.llen(queue) for queue in service.queues()},
        **({"unacked": count} if (count := broker.hlen("unacked")) else {}),
    }


MIXES = {
    "old receiver, new worker": ("old", ["new"], ["new"]),
    "new receiver, old worker": ("new", ["old"], ["old"]),
    "old receiver, old worker, new reconciler": ("old", ["old"], ["new"]),
    "new receiver, new worker, old reconciler": ("new", ["new"], ["old"]),
    "workers of both": ("new", ["old", "new"], ["old", "new"]),
    "workers of both behind an old receiver": ("old", ["old", "new"], ["old", "new"]),
}


@pytest.mark.parametrize("mix", MIXES)
def test_every_run_is_answered_once_and_in_time(releases, mix):
    receiver, workers, reconcilers = MIXES[mix]
    for release in workers:
        releases.start_worker(release)
    for release in reconcilers:
        releases.start_reconciler(release)
    traffic = Traffic(releases.service, [releases.start_receiver(receiver)])
    with traffic:
        traffic.go_on(TRAFFIC_S)
    assert len(traffic.accepted) >= 6
    assert traffic.worst_s() < WORST_S
    releases.service.wait_for(lambda: not _left(releases.service))


def test_new_workers_take_what_old_ones_left_queued(releases):
    """
    An upgrade with a gap: `call` messages of the old worker are queued when it stops.

    How long there is no worker is the operator's; the promise is what a caller waits beyond that.
    """
    service = releases.service
    url = releases.start_receiver("old")
    releases.start_reconciler("old")
    old = releases.start_worker("old", processes=1)
    traffic = Traffic(service, [url])
    traffic.send(*[("hold", SLOW)] * 12)
    service.wait_for(lambda: service.broker().llen("toolworker") > 3)
    stopping = time.monotonic()
    old.stop(signal.SIGTERM)
    stopped = time.monotonic()
    assert service.broker().llen("toolworker") > 0
    releases.start_worker("new")
    ready = time.monotonic()
    print(f"stopping took {stopped - stopping:.2f} s, starting {ready - stopped:.2f} s")  # noqa: T201
    assert traffic.worst_s() - (ready - stopping) < WORST_S
    service.wait_for(lambda: not _left(service))


@pytest.mark.parametrize("reconcilers", [("old", "new"), ("new", "new")], ids="-".join)
def test_old_workers_go_on_where_new_ones_were_rolled_back_and_forward_again(releases, reconcilers):
    """A rollback: `validate` messages are queued where no old worker looks."""
    service = releases.service
    urls = [releases.start_receiver(release) for release in ("old", "new")]
    for release in reconcilers:
        releases.start_reconciler(release)
    new = releases.start_worker("new", processes=1)
    releases.start_worker("old")
    traffic = Traffic(service, urls)

    def is_left_behind():
        return service.broker().llen("toolworker.calls") > 3

    with traffic:
        while not is_left_behind():  # an old worker may have taken the run
            traffic.send(*[("hold", '{"seconds": 0.15}')] * 12)
            deadline = time.monotonic() + 1
            while not is_left_behind() and time.monotonic() < deadline:
                time.sleep(0.01)
        new.stop(signal.SIGTERM)
        assert service.broker().llen("toolworker.calls") > 0
        traffic.go_on(TRAFFIC_S)
        releases.start_worker("new")
        traffic.go_on(TRAFFIC_S)
    worst_s = traffic.worst_s()
    service.wait_for(lambda: not _left(service))
    assert worst_s < WORST_S
