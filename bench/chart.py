"""One picture of the figures: worker CPU of a run, by side and number of calls, as SVG."""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from bench.sides import TITLES

_COLOURS = {
    "toolworker": "#1b6ca8",
    "own_ledger": "#7fb2d9",
    "ledger_dramatiq": "#e08e0b",
    "tuned_dramatiq": "#c46a00",
    "bare_dramatiq": "#f3c677",
    "plain_chord": "#8a8a8a",
    "seed": "#5b9a68",
}
_WIDTH, _LEFT, _BAR, _GAP, _HEAD = 760, 70, 18, 16, 40
_LONGEST = _WIDTH - _LEFT - 110


def draw(sides: Mapping[str, Any]) -> str:
    """
    Bars of the medians, grouped by calls, each group to its own scale.

    Args:
        sides: By name, each with `by_calls`; those without are left out.
    """
    names = [name for name in _COLOURS if "by_calls" in sides.get(name, {})]
    groups = [c for c in ("1", "3", "10", "30") if any(c in sides[n]["by_calls"] for n in names)]
    parts = [_text(10, 22, "Worker CPU of one run, ms (median; each group to its own scale)", 15)]
    y = _HEAD
    for calls in groups:
        values = {
            name: sides[name]["by_calls"][calls]["cpu_ms"]["median"]
            for name in names
            if calls in sides[name]["by_calls"]
        }
        parts.append(_text(10, y + _BAR, f"k = {calls}", 13))
        for name, value in values.items():
            length = max(1, round(_LONGEST * value / max(values.values())))
            parts.append(_bar(_LEFT, y, length, _BAR - 3, _COLOURS[name]))
            parts.append(_text(_LEFT + length + 6, y + 12, f"{value:.3g}", 12))
            y += _BAR
        y += _GAP
    for name in names:
        parts.append(_bar(_LEFT, y, 12, 12, _COLOURS[name]))
        parts.append(_text(_LEFT + 20, y + 11, TITLES[name], 12))
        y += _BAR
    size = f'width="{_WIDTH}" height="{y + 8}" viewBox="0 0 {_WIDTH} {y + 8}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, _bar(0, 0, _WIDTH, y + 8, "#ffffff"), *parts, "</svg>", ""])


def _bar(x: int, y: int, width: int, height: int, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}"/>'


def _text(x: int, y: int, text: str, size: int) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="#222222">{escape(text)}</text>'
