"""Medians, quantiles and ratios of the benchmark, and what is made of them for readers."""

from xml.etree import ElementTree as ET

import pytest

from bench import chart, figures, report
from bench.sides import Outcome
from bench.tally import Cost


def spread(median):
    return {"median": median, "least": median, "most": median, "turns": [median]}


COSTS = ("redis_cpu_ms", "sender_cpu_ms", "runs_per_s", "commands", "bytes")


def side(cpu_ms, *, p50=10.0, p99=20.0, round_trips=20.0):
    costs = {"cpu_ms": spread(cpu_ms), "round_trips": spread(round_trips)}
    costs |= {name: spread(1) for name in COSTS}
    latency = {"p50": spread(p50), "p95": spread(p99), "p99": spread(p99)}
    idle = {"cpu_ms": 3.0, "round_trips": 2.0}
    return {
        "by_calls": {"1": costs, "3": costs, "100": {**costs, "cpu_ms": spread(cpu_ms * 80)}},
        "latency_ms": latency,
        "idle_a_second": idle,
        "tree_mb": 88.5,
    }


FOUND = {
    "sides": {
        "toolworker": side(4.0, p50=8.0, p99=30.0, round_trips=24.0),
        "ledger_dramatiq": side(5.0, p50=32.0, p99=40.0),
        "bare_dramatiq": side(2.5),
    },
    "slow": {"toolworker": {"p50": spread(60)}, "seed": {"p50": spread(240)}},
    "scale": {"1": spread(5), "2": spread(10), "4": spread(19)},
    "accept": {
        "flask": spread(1000),
        "receiver": spread(650),
        "latency_ms": {
            name: dict.fromkeys(("p50", "p95", "p99"), spread(3)) for name in ("flask", "receiver")
        },
    },
}


def test_a_quantile_is_a_value_that_was_measured():
    values = [float(value) for value in range(1, 101)]

    assert [figures.quantile(values, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert figures.quantile([7.0], 0.99) == 7.0
    assert figures.quantile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_measure_is_the_median_of_the_turns_with_the_least_and_the_most():
    outcomes = [
        Outcome(Cost(cpu, 0, 20, 100, 1000), 0.001, 50, []) for cpu in (0.004, 0.009, 0.005)
    ]

    turns = [4.0, 9.0, 5.0]
    found = figures.costs(outcomes)["cpu_ms"]
    assert found == {"median": 5.0, "least": 4.0, "most": 9.0, "turns": turns}


def test_a_quantile_is_that_of_all_turns_together_with_those_of_each():
    found = figures.quantiles([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0], [1.0, 1.0, 1.0]])

    assert found["p50"] == {"median": 2.0, "least": 1.0, "most": 6.0, "turns": [2.0, 6.0, 1.0]}


def test_a_ratio_has_the_range_of_its_turns():
    found = {"scale": {"1": spread(5), "4": {**spread(19), "turns": [18.0, 20.0]}}}
    found["scale"]["1"]["turns"] = [5.0, 4.0]

    assert figures.ratio_ranges(found) == {"scale_1_to_4": [3.6, 5.0]}
    table = report.table(
        {"ratios": {"scale_1_to_4": 3.8}, "ratio_ranges": {"scale_1_to_4": [3.6, 5]}}
    )
    assert "| 3.8 (3.6 – 5) |" in table


def test_each_ratio_is_ours_by_theirs():
    assert figures.ratios(FOUND) == {
        "cpu_vs_dramatiq": {"1": 0.8, "3": 0.8, "100": 0.8},
        "cpu_vs_bare_dramatiq": {"1": 1.6, "3": 1.6, "100": 1.6},
        "p50_vs_dramatiq": 0.25,
        "p99_vs_dramatiq": 0.75,
        "slow_vs_seed": 0.25,
        "accept_vs_flask": 0.65,
        "scale_1_to_4": 3.8,
        "cpu_per_call_100_vs_1": 0.8,
        "redis_round_trips_k3": 24.0,
        "tree_mb": 88.5,
    }


def test_a_part_of_the_measures_gives_a_part_of_the_ratios():
    assert figures.ratios({"scale": FOUND["scale"]}) == {"scale_1_to_4": 3.8}


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ({"p50_vs_dramatiq": 0.4}, "met"),
        ({"p50_vs_dramatiq": 0.41}, "**missed**"),
        ({"scale_1_to_4": 3.59}, "**missed**"),
        ({"scale_1_to_4": 3.6}, "met"),
        ({"cpu_vs_dramatiq": {"1": 0.9, "30": 1.01}}, "**missed**"),
    ],
)
def test_the_table_says_which_targets_are_missed(ratio, verdict):
    assert report.table({"ratios": ratio}).splitlines()[2].endswith(f"| {verdict} |")


def test_the_page_keeps_what_is_written_around_the_figures(tmp_path):
    found = {**FOUND, "ratios": figures.ratios(FOUND), "command": "make bench", "turns": 3}
    found |= {"took_s": 200, "machine": dict.fromkeys(MACHINE, "x")}
    found["slow"] = {}  # no Node on this machine
    page = tmp_path / "performance.md"
    marks = "<!-- figures: written by make bench -->\nold\n<!-- end of figures -->"
    page.write_text(f"# Title\n\n{marks}\n\n## After\n")

    report.write(found, tmp_path)

    text = page.read_text()
    assert text.startswith("# Title\n\n<!-- figures: written by make bench -->\n")
    assert text.endswith("<!-- end of figures -->\n\n## After\n")
    assert "old" not in text
    assert "0.25" in text


MACHINE = ("cpu", "cpus", "load", "system", "python", "redis", "postgres", "node", "packages")


def test_the_chart_has_a_bar_for_each_side_and_number_of_calls():
    root = ET.fromstring(chart.draw(FOUND["sides"]))  # noqa: S314  (our own text)

    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    # a background, three sides at k = 1 and at k = 3, and three in the key
    assert len(bars) == 1 + 6 + 3
