"""On as many CPUs as workers, each worker of the receiver keeps to one."""

import os
import signal

import pytest

from tests.receiver import delivery, running_receiver, wait_for

CPUS = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []


@pytest.fixture
def receiver(redis_server, tmp_path):
    """Started by a thread that may use two CPUs, whatever the machine has."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CPUS)
    try:
        with running_receiver(tmp_path, redis_server.url) as receiver:
            yield receiver
    finally:
        os.sched_setaffinity(0, before)


def _cpus(receiver):
    return sorted(cpu for pid in receiver.worker_pids() for cpu in os.sched_getaffinity(pid))


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_a_worker_that_takes_a_killed_ones_place_takes_its_cpu(receiver):
    wait_for(lambda: _cpus(receiver) == CPUS)
    for number in range(2):
        killed = receiver.worker_pids()[number]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda killed=killed: killed not in receiver.worker_pids())
        wait_for(lambda: _cpus(receiver) == CPUS)
        assert receiver.post(delivery(f"after-kill-{number}"))[0] == 202
