"""CPU and memory counts of the benchmark, from /proc as the kernel writes it."""

import os
import subprocess
import sys
import threading
import time

from bench.tally import Cost, cpu_of, descendants, ended_cpu_of, family, pss_kb


def test_cpu_of_waited_for_children_is_their_user_and_system_time(monkeypatch):
    monkeypatch.setattr("bench.tally._TICKS_PER_S", 100)
    stat = "7 (a (worker) x) S 1 7 7 0 -1 4194304 119 0 0 0 150 25 20 5 20 0 1 0 1732778 31 357"

    assert ended_cpu_of(stat) == 0.25


def test_cpu_is_that_of_all_threads_and_of_ended_children():
    before, own_before = cpu_of(os.getpid()), time.process_time()
    thread = threading.Thread(target=lambda: sum(range(1_000_000)))
    thread.start()
    thread.join()
    own = time.process_time() - own_before
    assert 0 < own <= cpu_of(os.getpid()) - before < own + 0.05
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)

    assert cpu_of(os.getpid()) - before > own + 0.08


def test_a_family_is_every_process_that_descends_from_its_root_and_no_other():
    parents = {10: 1, 11: 10, 12: 11, 20: 1, 21: 20, 13: 10}

    assert sorted(descendants(10, parents)) == [10, 11, 12, 13]


def test_a_running_process_belongs_to_its_parents_family():
    assert os.getpid() in family(os.getppid())


def test_memory_is_the_proportional_share():
    rollup = (
        "55a1-7fff ---p 00000000 00:00 0 [rollup]\nRss:  1680 kB\nPss:  210 kB\nPss_Dirty: 9 kB\n"
    )

    assert pss_kb(rollup) == 210


def test_what_an_idle_tree_takes_is_left_out():
    before, after = Cost(1.0, 2.0, 100), Cost(3.0, 5.0, 180)
    idle = Cost(0.25, 0.5, 10)

    assert after.since(before, idle=idle, for_s=4).per(10) == Cost(0.1, 0.1, 4)
