"""Statistics of measurements: medians and spreads."""

import statistics
from collections.abc import Sequence
from typing import TypedDict

QUANTILES = {"p50": 0.50, "p99": 0.99}


class Spread(TypedDict):
    """The median over the turns, with the least and the most of them."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most, to four digits that mean something."""
    return Spread(
        median=short(statistics.median(values)), least=short(min(values)), most=short(max(values))
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that *share* of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def quantiles(turns: Sequence[Sequence[float]]) -> dict[str, Spread]:
    """Quantiles of all turns together, in place of a median, with the range of the turns' own."""
    all_values = [value for values in turns for value in values]
    found = {}
    for name, share in QUANTILES.items():
        found[name] = spread([quantile(values, share) for values in turns])
        found[name]["median"] = short(quantile(all_values, share))
    return found


def short(value: float) -> float:
    """To four digits that mean something."""
    return float(f"{value:.4g}")
