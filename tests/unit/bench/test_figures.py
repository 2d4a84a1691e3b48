"""Medians, quantiles and targets of the benchmark, and the report made of them."""

import pytest

from bench import figures, report


def spread(median):
    return {"median": median, "least": median, "most": median}


def side(cpu_ms, *, p50, p99, tree_mb=88.5):
    costs = {"cpu_ms": spread(cpu_ms), "redis_cpu_ms": spread(1), "round_trips": spread(20)}
    latency = {"p50": spread(p50), "p99": spread(p99)}
    return {"by_calls": {"1": costs, "3": costs}, "latency_ms": latency, "tree_mb": tree_mb}


FOUND = {
    "sides": {
        "toolworker": side(4.0, p50=8.0, p99=30.0),
        "plain_chord": side(8.0, p50=16.0, p99=20.0),
        "ledger_dramatiq": side(5.0, p50=32.0, p99=40.0),
        "five_fsyncs_ms": 1.5,
    },
    "slow": {
        "toolworker": {"p50": spread(60)},
        "plain_chord": {"p50": spread(84)},
        "seed": {"p50": spread(240)},
    },
    "silence": {"6": {"late_ms": {"0": 12.0, "5": 90.0}, "worst_ms": 90.0, "usual_ms": 4.0}},
    "fairness": {"1": 0.2, "3": 0.7},
    "recovery": {"after-start": 4.0, "after-claim": 12.5, "worker": 20.0},
    "scale": {"1": spread(5), "4": spread(19)},
    "accept": {
        "per_s": {"receiver": spread(650), "bare": spread(1000)},
        "share": spread(0.64),
        "latency_ms": {
            "receiver": {"p50": spread(3), "p99": spread(9)},
            "bare": dict.fromkeys(("p50", "p99"), spread(2)),
        },
    },
    "overload": {
        "statuses": {"202": 10, "503": 20},
        "unloaded_p99_ms": 2.0,
        "loaded_p99_ms": 8.0,
        "accepted": 10,
        "lost": 0,
        "twice": 0,
    },
    "memory": {"mb": {"10000": 100.0, "50000": 103.0, "100000": 101.0}, "children": 8},
}


def test_a_quantile_is_a_value_that_was_measured():
    values = [float(value) for value in range(1, 101)]

    assert [figures.quantile(values, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert figures.quantile([7.0], 0.99) == 7.0
    assert figures.quantile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_measure_is_the_median_of_the_turns_with_the_least_and_the_most():
    assert figures.spread([4.0, 9.0, 5.0]) == {"median": 5.0, "least": 4.0, "most": 9.0}


def test_a_quantile_is_that_of_all_turns_together_with_the_range_of_each():
    found = figures.quantiles([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0], [1.0, 1.0, 1.0]])

    assert found["p50"] == {"median": 2.0, "least": 1.0, "most": 6.0}


def test_each_target_is_held_against_its_bound():
    verdicts = {target.measure: (target.shown, target.is_met) for target in report.targets(FOUND)}

    assert verdicts == {
        "end to end at 20 runs/s, 3 calls, p50 to plain Celery's chord": ("0.5", True),
        "end to end at 20 runs/s, 3 calls, p99 to plain Celery's chord": ("1.5", False),
        "five fsyncs of this disk, the median": ("1.5 ms", None),
        "worker CPU a run of 1, to plain Celery's chord": ("0.5", True),
        "worker CPU a run of 3, to plain Celery's chord": ("0.5", True),
        "worker CPU a run, to dramatiq with the same ledger": ("k=1: 0.8 · k=3: 0.8", None),
        "memory of a worker of 2 processes": ("88.5 MB", True),
        "p50 of 5 calls of 50 ms, to the seed's shape": ("0.25", True),
        "p50 of 5 calls of 50 ms, plain Celery's chord to the seed's shape": ("0.35", None),
        "silence: one of 6 calls hangs for 5 s, the others are recorded later by": ("90 ms", True),
        "fairness: a run of 1 behind one of 128 calls of 50 ms is answered in": ("0.2 s", True),
        "fairness: a run of 3 behind one of 128 calls of 50 ms is answered in": ("0.7 s", False),
        "recovery: child after start killed, worst answer of 3 seeds": ("4 s", True),
        "recovery: child after claim killed, worst answer of 3 seeds": ("12.5 s", True),
        "recovery: whole worker killed, worst answer of 3 seeds": ("20 s", False),
        "runs/s of 3 calls of 50 ms with 4 worker processes, to 1": ("3.8", True),
        "deliveries accepted a second, to a bare Flask route": ("0.64 (650, to 1,000)", True),
        "a 202 at 50 deliveries/s with a worker running, p50, to a bare route": (
            "1.5 (3 ms, to 2 ms)",
            None,
        ),
        "a 202 at 50 deliveries/s with a worker running, p99, to a bare route": (
            "4.5 (9 ms, to 2 ms)",
            False,
        ),
        "answers at 3 times the load": ("10 of 202, 20 of 503", True),
        "p99 of a 202 at 3 times the load, to a fifth of it": ("4", True),
        "of 10 accepted runs, lost or answered twice": ("0", True),
        "memory of a worker, the most after 10000 to 100000 runs and 8 children": (
            "103 MB",
            True,
        ),
        "the most to the first of these": ("1.03", False),
    }


def test_a_part_of_the_measures_gives_a_part_of_the_targets():
    (target,) = report.targets({"scale": FOUND["scale"]})
    assert target.bound == "at least 3.6"


@pytest.mark.parametrize(
    ("worst_ms", "verdict"), [(100.0, "met"), (100.1, "**missed**"), (5000.0, "**missed**")]
)
def test_the_table_shows_which_targets_are_missed(worst_ms, verdict):
    table = report.table({"silence": {"6": {"worst_ms": worst_ms}}})

    assert table.splitlines()[2].endswith(f"| {verdict} |")


def test_the_page_keeps_what_is_written_around_the_figures(tmp_path):
    found = {**FOUND, "command": "make bench", "turns": 3, "took_s": 200}
    found |= {"machine": dict.fromkeys(MACHINE, "x")}
    found["slow"] = {n: v for n, v in FOUND["slow"].items() if n != "seed"}  # without Node
    page = tmp_path / "performance.md"
    marks = "<!-- figures: written by make bench -->\nold\n<!-- end of figures -->"
    detailed = tmp_path / "README.md"
    for file in (page, detailed):
        file.write_text(f"# Title\n\n{marks}\n\n## After\n")

    report.write(found, page, detailed)

    for text in (page.read_text(), detailed.read_text()):
        assert text.startswith("# Title\n\n<!-- figures: written by make bench -->\n")
        assert text.endswith("<!-- end of figures -->\n\n## After\n")
        assert "old" not in text
    assert "| 90 ms | at most 100 ms | met |" in page.read_text()
    assert "| calls | a run on |" in detailed.read_text()
    assert "| calls | a run on |" not in page.read_text()


MACHINE = ("cpu", "cpus", "load", "system", "python", "redis", "postgres", "node", "packages")
