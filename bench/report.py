"""Benchmark report in Markdown: targets and verdicts, then what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.sides import TITLES
from bench.waits import SEEDS

_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


class Target(NamedTuple):
    """One line of what must be reached; *is_met* None where there is no bound."""

    measure: str
    shown: str
    bound: str
    is_met: bool | None


def targets(found: Mapping[str, Any]) -> list[Target]:
    """Each target with its figure and verdict; those not measured are left out."""
    return [
        target
        for name, of in (
            ("sides", _of_sides),
            ("slow", _of_slow),
            ("silence", _of_silence),
            ("fairness", _of_fairness),
            ("recovery", _of_recovery),
            ("scale", _of_scale),
            ("accept", _of_accept),
            ("overload", _of_overload),
            ("memory", _of_memory),
        )
        if name in found
        for target in of(found[name])
    ]


def table(found: Mapping[str, Any]) -> str:
    """The targets that were measured, with their verdicts."""
    verdicts = {True: "met", False: "**missed**", None: ""}
    rows = [(t.measure, t.shown, t.bound, verdicts[t.is_met]) for t in targets(found)]
    return _markdown(("measure", "measured", "target", ""), rows)


def details(found: Mapping[str, Any]) -> str:
    """Each side's own figures; empty without the measure `sides`."""
    if "sides" not in found:
        return ""
    return "\n\n".join(_sides({n: s for n, s in found["sides"].items() if n in TITLES}))


def write(found: Mapping[str, Any], page: Path, detailed: Path) -> None:
    """Put the targets into *page* and the rest into *detailed*, between the marks of each."""
    for file, figures in ((page, table(found)), (detailed, details(found))):
        before, _, rest = file.read_text(encoding="utf-8").partition(_BEGIN)
        after = rest.partition(_END)[2]
        text = "\n\n".join([_BEGIN, _where(found), figures, _END])
        file.write_text(f"{before}{text}{after}", encoding="utf-8")


def _where(found: Mapping[str, Any]) -> str:
    on = found["machine"]
    return (
        f"`{found['command']}`, turns: {found['turns']}, {found['took_s']} s, on {on['cpus']} CPUs"
        f" ({on['cpu']}), load {on['load']}, {on['system']}, Python {on['python']}, {on['redis']},"
        f" PostgreSQL {on['postgres']}, Node {on['node']}, {on['packages']}."
    )


def _at_most(measure: str, value: float, bound: float, unit: str = "") -> Target:
    return Target(measure, f"{_number(value)}{unit}", f"at most {bound:g}{unit}", value <= bound)


def _at_least(measure: str, value: float, bound: float) -> Target:
    return Target(measure, _number(value), f"at least {bound:g}", value >= bound)


def _of_sides(sides: Mapping[str, Any]) -> Iterator[Target]:
    ours, chord, dramatiq = (sides[n] for n in ("toolworker", "plain_chord", "ledger_dramatiq"))
    for quantile, bound in (("p50", 1.0), ("p99", 1.3)):
        mine, theirs = ours["latency_ms"][quantile], chord["latency_ms"][quantile]
        measure = f"end to end at 20 runs/s, 3 calls, {quantile} to plain Celery's chord"
        yield _at_most(measure, mine["median"] / theirs["median"], bound)
    shown = f"{sides['five_fsyncs_ms']:g} ms"
    yield Target("five fsyncs of this disk, the median", shown, "", None)
    for calls, costs in ours["by_calls"].items():
        cpu_ms = costs["cpu_ms"]["median"]
        theirs = chord["by_calls"][calls]["cpu_ms"]["median"]
        measure = f"worker CPU a run of {calls}, to plain Celery's chord"
        yield _at_most(measure, cpu_ms / theirs, 0.65)
    by_calls = {
        calls: costs["cpu_ms"]["median"] / dramatiq["by_calls"][calls]["cpu_ms"]["median"]
        for calls, costs in ours["by_calls"].items()
    }
    shown = " · ".join(f"k={calls}: {_number(ratio)}" for calls, ratio in by_calls.items())
    yield Target("worker CPU a run, to dramatiq with the same ledger", shown, "", None)
    yield _at_most("memory of a worker of 2 processes", ours["tree_mb"], 115, " MB")


def _of_slow(slow: Mapping[str, Any]) -> Iterator[Target]:
    if "seed" in slow:
        mine, chord, seed = (
            slow[name]["p50"]["median"] for name in ("toolworker", "plain_chord", "seed")
        )
        yield _at_most("p50 of 5 calls of 50 ms, to the seed's shape", mine / seed, 0.3)
        measure = "p50 of 5 calls of 50 ms, plain Celery's chord to the seed's shape"
        yield Target(measure, _number(chord / seed), "", None)


def _of_silence(silence: Mapping[str, Any]) -> Iterator[Target]:
    for calls, late in silence.items():
        measure = f"silence: one of {calls} calls hangs for 5 s, the others are recorded later by"
        yield _at_most(measure, late["worst_ms"], 100, " ms")


def _of_fairness(fairness: Mapping[str, Any]) -> Iterator[Target]:
    for calls, bound in (("1", 0.4), ("3", 0.6)):
        measure = f"fairness: a run of {calls} behind one of 128 calls of 50 ms is answered in"
        yield _at_most(measure, fairness[calls], bound, " s")


def _of_recovery(recovery: Mapping[str, Any]) -> Iterator[Target]:
    bounds = {"after-claim": 13.0, "worker": 19.0}
    for moment, worst_s in recovery.items():
        killed = "whole worker" if moment == "worker" else f"child {moment.replace('-', ' ')}"
        measure = f"recovery: {killed} killed, worst answer of {SEEDS} seeds"
        yield _at_most(measure, worst_s, bounds.get(moment, 5.0), " s")


def _of_scale(scale: Mapping[str, Any]) -> Iterator[Target]:
    ratio = scale["4"]["median"] / scale["1"]["median"]
    yield _at_least("runs/s of 3 calls of 50 ms with 4 worker processes, to 1", ratio, 3.6)


def _of_accept(accept: Mapping[str, Any]) -> Iterator[Target]:
    mine, bare = (accept["per_s"][name]["median"] for name in ("receiver", "bare"))
    share = accept["share"]["median"]
    shown = f"{_number(share)} ({_number(mine)}, to {_number(bare)})"
    measure = "deliveries accepted a second, to a bare Flask route"
    yield Target(measure, shown, "at least 0.25", share >= 0.25)
    for quantile, most in (("p50", None), ("p99", 4)):
        mine, bare = (
            accept["latency_ms"][name][quantile]["median"] for name in ("receiver", "bare")
        )
        shown = f"{_number(mine / bare)} ({_number(mine)} ms, to {_number(bare)} ms)"
        measure = f"a 202 at 50 deliveries/s with a worker running, {quantile}, to a bare route"
        bound = (f"at most {most}", mine / bare <= most) if most else ("", None)
        yield Target(measure, shown, *bound)


def _of_overload(overload: Mapping[str, Any]) -> Iterator[Target]:
    statuses = overload["statuses"]
    shown = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    is_met = set(statuses) <= {"202", "503"}
    yield Target("answers at 3 times the load", shown, "202 and 503 only", is_met)
    slower = overload["loaded_p99_ms"] / overload["unloaded_p99_ms"]
    yield _at_most("p99 of a 202 at 3 times the load, to a fifth of it", slower, 10)
    bad = overload["lost"] + overload["twice"]
    measure = f"of {overload['accepted']} accepted runs, lost or answered twice"
    yield _at_most(measure, bad, 0)


def _of_memory(memory: Mapping[str, Any]) -> Iterator[Target]:
    (few, first), *later, (many, last) = memory["mb"].items()
    span = f"{few} to {many} runs and {memory['children']} children"
    most = max(first, last, *(mb for _, mb in later))
    yield _at_most(f"memory of a worker, the most after {span}", most, 115, " MB")
    yield _at_most("the most to the first of these", most / first, 1.02)


def _sides(sides: Mapping[str, Any]) -> Iterator[str]:
    columns = {"cpu_ms": "worker CPU ms", "redis_cpu_ms": "Redis CPU ms", "round_trips": "trips"}
    rows = [
        (calls, TITLES[name], *(_shown(side["by_calls"][calls][column]) for column in columns))
        for calls in next(iter(sides.values()))["by_calls"]
        for name, side in sides.items()
    ]
    yield _markdown(("calls", "a run on", *columns.values()), rows)
    quantiles = ("p50", "p99")
    rows = [
        (TITLES[name], *(_shown(side["latency_ms"][q]) for q in quantiles), f"{side['tree_mb']:g}")
        for name, side in sides.items()
    ]
    heads = ("3 calls a run on", *(f"{q} ms at 20 runs/s" for q in quantiles), "worker MB")
    yield _markdown(heads, rows)


def _shown(spread: Mapping[str, float]) -> str:
    median, least, most = (_number(spread[name]) for name in ("median", "least", "most"))
    return f"{median} ({least} – {most})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
