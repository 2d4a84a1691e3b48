"""Which CPU a worker of the receiver keeps to, without forking one."""

import os
from types import SimpleNamespace

import pytest

from webhook.gunicorn import post_fork, pre_fork


@pytest.fixture
def kept(monkeypatch):
    """What would have been set, on a machine of CPUs 4 and 5."""
    kept = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: kept.append(cpus), raising=False)
    return kept


def _fork(arbiter):
    worker = SimpleNamespace()
    pre_fork(arbiter, worker)
    post_fork(arbiter, worker)
    arbiter.WORKERS[object()] = worker
    return worker


def _arbiter(workers):
    return SimpleNamespace(WORKERS={}, num_workers=workers)


def test_each_worker_keeps_to_the_cpu_that_the_fewest_have(kept):
    arbiter = _arbiter(workers=2)
    for _ in range(4):  # the last two while the first are asked to leave, as on SIGHUP
        _fork(arbiter)
    assert kept == [{4}, {5}, {4}, {5}]


def test_with_more_cpus_than_workers_the_kernel_chooses(kept):
    _fork(_arbiter(workers=1))
    assert kept == []


def test_a_system_that_knows_no_such_thing_is_left_alone(kept, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    _fork(_arbiter(workers=2))
    assert kept == []


@pytest.mark.parametrize("forbidden", ["sched_getaffinity", "sched_setaffinity"])
def test_a_sandbox_that_forbids_it_stops_no_worker(kept, monkeypatch, forbidden):
    def forbid(*_):
        raise PermissionError

    monkeypatch.setattr(os, forbidden, forbid)
    _fork(_arbiter(workers=2))
    assert kept == []
