"""Format times, durations, ages and sizes for the pages."""

from datetime import UTC, datetime


def clock(at_ms: int) -> str:
    """`09:31:07.250`, in UTC."""
    return _at(at_ms).strftime("%H:%M:%S.") + f"{at_ms % 1000:03}"


def moment(at_ms: int) -> str:
    """`2026-11-28 09:31:07`, in UTC."""
    return _at(at_ms).strftime("%Y-%m-%d %H:%M:%S")


def span(ms: float | None) -> str:
    """A duration with two or three digits: `8 ms`, `1.42 s`, `3 min 20 s`, `5 h 2 min`, `3 d`."""
    if ms is None:
        return "\N{EN DASH}"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 10_000:
        return f"{ms / 1000:.2f} s"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    seconds = int(ms / 1000)
    for size, name, smaller_size, smaller in _STEPS:
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size} {name}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError(ms)


_STEPS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def ago(ms: int) -> str:
    """An age in one whole number: `12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    for most, unit, name in ((3_600, 60, "min"), (86_400, 3_600, "h")):
        if seconds < most:
            return f"{seconds // unit} {name}"
    return f"{seconds // 86_400} d"


def size(count: int) -> str:
    """Bytes: `640 B`, `1.2 kB`, `3.4 MB`."""
    if count < 1_000:
        return f"{count} B"
    for limit, name in ((1_000_000, "kB"), (1_000_000_000, "MB")):
        if count < limit:
            return f"{count * 1000 / limit:.1f} {name}"
    return f"{count / 1_000_000_000:.1f} GB"


def printable(text: str) -> str:
    """The text, with escapes for lone surrogates, which arguments may hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
