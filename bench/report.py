"""The figures for people: ratios first, then a table, as text and in docs/performance.md."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.chart import draw
from bench.sides import TITLES

_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"

# name of the ratio, what it says, the target, and whether less is better
_TARGETS = (
    ("cpu_vs_dramatiq", "worker CPU a run, to dramatiq with the same ledger steps", 1.0, True),
    ("cpu_vs_bare_dramatiq", "worker CPU a run, to bare dramatiq", 1.4, True),
    ("redis_round_trips_k3", "Redis round trips a run of 3 calls, ledger included", 25, True),
    ("p50_vs_dramatiq", "p50 end to end at 20 runs/s, to dramatiq", 0.4, True),
    ("p99_vs_dramatiq", "p99 end to end at 20 runs/s, to dramatiq", 0.5, True),
    ("slow_vs_seed", "p50 of 5 calls of 50 ms, to the seed's shape", 0.3, True),
    ("accept_vs_flask", "accepted deliveries a second, to a bare Flask route", 0.6, False),
    ("scale_1_to_4", "runs/s with 4 worker processes, to 1", 3.6, False),
    ("cpu_per_call_100_vs_1", "CPU a call, 100 calls a run to 1", 1.0, True),
    ("tree_mb", "memory of a worker tree, MB", 90, True),
)
_COLUMNS = {
    "cpu_ms": "worker CPU ms",
    "redis_cpu_ms": "Redis CPU ms",
    "sender_cpu_ms": "sender CPU ms",
    "runs_per_s": "runs/s",
    "round_trips": "round trips",
    "commands": "commands",
    "bytes": "Redis bytes",
}


def table(found: Mapping[str, Any]) -> str:
    """Everything that was measured, in Markdown; what was not is left out."""
    parts = [_ratios(found["ratios"], found.get("ratio_ranges", {}))]
    sides = found.get("sides", {})
    if sides:
        parts.append(_by_calls(sides))
        parts.append(_sides(sides))
    parts.extend(_rest(found))
    return "\n\n".join(parts)


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Put table and chart into *folder*; of performance.md only what lies between the marks."""
    page = folder / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    figures = "\n\n".join([_BEGIN, _where(found), table(found), _END])
    page.write_text(f"{before}{figures}{after}", encoding="utf-8")
    (folder / "performance.svg").write_text(draw(found["sides"]), encoding="utf-8")


def _where(found: Mapping[str, Any]) -> str:
    on = found["machine"]
    return (
        f"`{found['command']}`, {found['turns']} turns, {found['took_s']} s, on {on['cpus']} CPUs"
        f" ({on['cpu']}), load {on['load']}, {on['system']}, Python {on['python']}, {on['redis']},"
        f" PostgreSQL {on['postgres']}, Node {on['node']}, {on['packages']}."
    )


def _ratios(ratios: Mapping[str, Any], ranges: Mapping[str, Any]) -> str:
    rows = []
    for name, says, target, less in _TARGETS:
        if name in ratios:
            values = ratios[name] if isinstance(ratios[name], dict) else {"": ratios[name]}
            of_turns = ranges.get(name, {})
            of_turns = of_turns if isinstance(of_turns, dict) else {"": of_turns}
            shown = " · ".join(_ratio(k, v, of_turns.get(k)) for k, v in values.items())
            met = all(v <= target if less else v >= target for v in values.values())
            bound = f"at {'most' if less else 'least'} {target:g}"
            rows.append((says, shown, bound, "met" if met else "**missed**"))
    return _markdown(("ratio", "measured", "target", ""), rows)


def _ratio(calls: str, value: float, of_turns: Sequence[float] | None) -> str:
    head = f"k={calls}: " if calls else ""
    least, most = of_turns or (value, value)
    return f"{head}{value:.3g}" + (f" ({least:.3g} – {most:.3g})" if of_turns else "")


def _by_calls(sides: Mapping[str, Any]) -> str:
    rows = [
        (calls, TITLES[name], *(_shown(costs[column]) for column in _COLUMNS))
        for calls in ("1", "3", "10", "30", "100")
        for name, side in sides.items()
        if (costs := side.get("by_calls", {}).get(calls))
    ]
    return _markdown(("calls", "a run on", *_COLUMNS.values()), rows)


def _sides(sides: Mapping[str, Any]) -> str:
    rows = [
        (
            TITLES[name],
            *(_shown(side["latency_ms"][q]) if "latency_ms" in side else "" for q in _QUANTILES),
            f"{side['tree_mb']:g}",
            f"{side['idle_a_second']['cpu_ms']:g}",
        )
        for name, side in sides.items()
    ]
    heads = (*(f"{q} ms at 20 runs/s" for q in _QUANTILES), "tree MB", "idle CPU ms a second")
    return _markdown(("3 calls a run on", *heads), rows)


_QUANTILES = ("p50", "p95", "p99")


def _rest(found: Mapping[str, Any]) -> Iterator[str]:
    if "slow" in found:
        rows = [(TITLES[name], _shown(slow["p50"])) for name, slow in found["slow"].items()]
        yield _markdown(("5 calls of 50 ms on", "p50 ms"), rows)
    if "scale" in found:
        rows = [(workers, _shown(rate)) for workers, rate in found["scale"].items()]
        yield _markdown(("worker processes", "runs/s of 3 calls of 50 ms"), rows)
    if "accept" in found:
        took = found["accept"]["latency_ms"]
        rows = [
            (name, _shown(found["accept"][name]), *(_shown(took[name][q]) for q in _QUANTILES))
            for name in ("receiver", "flask")
        ]
        heads = ("accepting", "answers a second", *(f"{q} ms at 50/s" for q in _QUANTILES))
        yield _markdown(heads, rows)


def _shown(spread: Mapping[str, float]) -> str:
    median, least, most = (_number(spread[name]) for name in ("median", "least", "most"))
    return f"{median} ({least} – {most})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
