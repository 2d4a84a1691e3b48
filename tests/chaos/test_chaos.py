"""Whatever breaks under traffic: no accepted run is lost, stuck, or answered twice."""

import time

import pytest

from ops.dev.stack import Stack
from tests.chaos import harness, redis_faults  # noqa: F401  (registers its faults)
from tests.chaos.faults import FAULTS
from tests.service import Service

HOOKS = "tests/chaos/hooks"
RATE = 6.0
"""Runs a second: about half of what two workers and the harness do on two cores."""


@pytest.fixture
def start(tmp_path, tools_with_hold, postgres_server):
    stacks = []

    def begin(*, own_postgres=False, **options):
        folder = tmp_path / "armed"
        folder.mkdir()
        env = {"PYTHONPATH": HOOKS, "TOOLWORKER_CHAOS_DIR": str(folder)}
        # more than is sent: the rate limit is not the fault
        env["GENESYS_REQUESTS_PER_MINUTE"] = "100000"
        stack = Stack(
            tmp_path / "stack",
            workers=2,
            reconcilers=2,
            tools_dir=tools_with_hold,
            env={**env, **options},
            postgres=None if own_postgres else postgres_server,
        )
        stacks.append(stack)
        stack.start()
        return Service(stack)

    yield begin
    for stack in stacks:
        stack.stop()


def _run(name, service, rng, *, seconds_after=1.0):
    function, _, _ = FAULTS[name]
    with harness.Traffic(service, rng, rate=RATE) as traffic:
        time.sleep(1)
        emptied_at = function(service, rng)
        time.sleep(seconds_after)
    return harness.judge(name, service, traffic, emptied_at=emptied_at)


@pytest.mark.chaos
@pytest.mark.parametrize("name", FAULTS)
def test_every_accepted_run_is_answered_once_despite(name, start, rows, pytestconfig):
    seed = pytestconfig.getoption("--chaos-seed", default="1")
    service = start(own_postgres="Postgres" in name, **FAULTS[name][2])
    row = _run(name, service, harness.new_rng(seed, name))
    rows.append(row)
    assert row.is_good, row
    assert len(service.stack.worker_pids) >= 2, "a worker ended by itself"


@pytest.mark.chaos
def test_smoke_the_short_faults_one_after_the_other_lose_nothing(start, rows):
    service = start()
    rng = harness.new_rng(1, "smoke")
    with harness.Traffic(service, rng, rate=4.0) as traffic:
        # Redis first: what a worker held of it comes back after the visibility timeout
        for name in sorted(FAULTS, key=lambda name: "Redis" not in name):
            function, is_smoke, _ = FAULTS[name]
            if is_smoke and name != "nothing":
                function(service, rng)
    row = harness.judge("smoke", service, traffic)
    rows.append(row)
    assert row.is_good, row
    assert len(service.stack.worker_pids) == 2


@pytest.mark.chaos
def test_a_soak_of_2000_runs_leaves_channels_clients_and_memory_flat(start, rows, pytestconfig):
    seed = pytestconfig.getoption("--chaos-seed", default="1")
    service = start()
    broker = service.broker()
    measured = []
    with harness.Traffic(service, harness.new_rng(seed, "soak"), rate=20.0) as traffic:
        for count in (500, 2000):
            service.wait_for(lambda n=count: len(traffic.sent) >= n, within_s=400)
            measured.append((harness.memory_kb(service), len(broker.client_list())))
    row = harness.judge("soak of 2,000 runs", service, traffic)
    rows.append(row)
    assert row.is_good, row
    assert broker.pubsub_channels("*celery-task-meta*") == []
    (early_kb, early_clients), (late_kb, late_clients) = measured
    # a leak would be one for each run; each of the receiver's 64 threads opens one to the broker
    # when all are busy
    assert late_clients <= early_clients + 64
    assert late_kb < early_kb * 1.05, f"{early_kb} kB, then {late_kb} kB"
