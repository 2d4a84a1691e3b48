"""From single measurements to medians, spreads and the ratios that the targets are about."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from bench.sides import Outcome


class Spread(TypedDict):
    """The median over the turns, with the least and the most of them, and each."""

    median: float
    least: float
    most: float
    turns: list[float]


QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_COSTS: Mapping[str, Callable[[Outcome], float]] = {
    "cpu_ms": lambda o: o.cost.cpu_s * 1000,
    "redis_cpu_ms": lambda o: o.cost.redis_cpu_s * 1000,
    "sender_cpu_ms": lambda o: o.sender_cpu_s * 1000,
    "runs_per_s": lambda o: o.runs_per_s,
    "round_trips": lambda o: o.cost.round_trips,
    "commands": lambda o: o.cost.commands,
    "bytes": lambda o: o.cost.bytes,
}


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most, to four digits that mean something."""
    return Spread(
        median=_short(statistics.median(values)),
        least=_short(min(values)),
        most=_short(max(values)),
        turns=[_short(value) for value in values],
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that *share* of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def costs(outcomes: Sequence[Outcome]) -> dict[str, Spread]:
    """What one run took, by measure; one outcome a turn."""
    return {name: spread([read(o) for o in outcomes]) for name, read in _COSTS.items()}


def latencies(outcomes: Sequence[Outcome]) -> dict[str, Spread]:
    """Milliseconds end to end, as `quantiles` sums them up."""
    return quantiles([outcome.took_ms for outcome in outcomes])


def quantiles(turns: Sequence[Sequence[float]]) -> dict[str, Spread]:
    """Quantiles of all turns together, in place of a median, with those of each turn."""
    all_values = [value for values in turns for value in values]
    found = {}
    for name, share in QUANTILES.items():
        found[name] = spread([quantile(values, share) for values in turns])
        found[name]["median"] = _short(quantile(all_values, share))
    return found


def ratios(found: Mapping[str, Any]) -> dict[str, Any]:
    """
    What the targets are about, each from medians; those whose measures are missing are left out.

    Args:
        found: `sides` by name, each with `by_calls`, `latency_ms` and `tree_mb`; `slow`, `scale`
            and `accept`, as `bench.measures` gives them.
    """
    return _of_all(found, lambda mine, theirs: _short(mine["median"] / theirs["median"]))


def ratio_ranges(found: Mapping[str, Any]) -> dict[str, Any]:
    """The least and the most of each ratio, turn by turn, where both sides have turns."""
    of_all = _of_all(found, _range)
    return {name: each for name, each in of_all.items() if not isinstance(each, float | int)}


def _range(mine: Spread, theirs: Spread) -> list[float]:
    by_turn = [m / t for m, t in zip(mine["turns"], theirs["turns"], strict=False)]
    return [_short(min(by_turn)), _short(max(by_turn))]


def _of_all(found: Mapping[str, Any], compare: Callable[[Spread, Spread], Any]) -> dict[str, Any]:
    sides = found.get("sides", {})
    ratio: dict[str, Any] = {}
    ours = sides.get("toolworker", {})
    by_calls = ours.get("by_calls", {})
    for name, peer in (("dramatiq", "ledger_dramatiq"), ("bare_dramatiq", "bare_dramatiq")):
        theirs = sides.get(peer, {}).get("by_calls", {})
        if shared := [calls for calls in by_calls if calls in theirs]:
            ratio[f"cpu_vs_{name}"] = {
                calls: compare(by_calls[calls]["cpu_ms"], theirs[calls]["cpu_ms"])
                for calls in shared
            }
    latency = {name: side["latency_ms"] for name, side in sides.items() if "latency_ms" in side}
    if {"toolworker", "ledger_dramatiq"} <= latency.keys():
        for name in ("p50", "p99"):
            mine, theirs = latency["toolworker"][name], latency["ledger_dramatiq"][name]
            ratio[f"{name}_vs_dramatiq"] = compare(mine, theirs)
    if "seed" in found.get("slow", {}):
        ratio["slow_vs_seed"] = compare(*(found["slow"][s]["p50"] for s in ("toolworker", "seed")))
    if "accept" in found:
        ratio["accept_vs_flask"] = compare(found["accept"]["receiver"], found["accept"]["flask"])
    if "scale" in found:
        ratio["scale_1_to_4"] = compare(found["scale"]["4"], found["scale"]["1"])
    if {"1", "100"} <= by_calls.keys():
        alone, hundred = (by_calls[calls]["cpu_ms"]["median"] for calls in ("1", "100"))
        ratio["cpu_per_call_100_vs_1"] = _short(hundred / 100 / alone)
    if "3" in by_calls:
        ratio["redis_round_trips_k3"] = by_calls["3"]["round_trips"]["median"]
    if "tree_mb" in ours:
        ratio["tree_mb"] = ours["tree_mb"]
    return ratio


def _short(value: float) -> float:
    return float(f"{value:.4g}")
