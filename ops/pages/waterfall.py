"""Waterfall of a run's time: bars for waiting, working, waiting for Genesys, and POSTs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["wait", "work", "lost", "genesys", "post"]
Entry = Mapping[str, str]

_SHOWN_ATTEMPTS = 50
_LEAST = 0.15
"""Percent of the width: what takes no time at all is still to be seen."""


@dataclass(frozen=True)
class Bar:
    """One bar: `x` and `width` in percent of the whole, `title` names it."""

    kind: Kind
    x: float
    width: float
    title: str


@dataclass(frozen=True)
class CallRow:
    """One call: times in ms, None where there is none yet. `output_bytes` is 0 without output."""

    index: int
    call_id: str
    tool: str
    code: str
    wait_ms: int | None
    work_ms: int | None
    tries: int
    output_bytes: int
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Attempt:
    """One POST: `took_ms` is None while it is under way, or when its sender died."""

    number: int
    at: int
    status: str
    code: str
    correlation_id: str
    took_ms: int | None
    error: str


@dataclass(frozen=True)
class Waterfall:
    """The calls side by side and the way to Genesys; `marks` are ms at the quarters."""

    began_at: int
    total_ms: int
    marks: Sequence[int]
    calls: Sequence[CallRow]
    genesys: Sequence[Bar]
    attempts: Sequence[Attempt]


def waterfall(entry: Entry, now_ms: int) -> Waterfall:
    """
    What is known of a run's times; of a replay since it was opened again.

    Args:
        entry: Its fields; data may be empty.
    """
    replays = [int(value) for name, value in entry.items() if name.startswith("replayed_at:")]
    began = max(replays, default=int(entry["accepted_at"]))
    ended = int(entry.get("ended_at", 0)) or max(now_ms, began)
    scale = _Scale(began, max(1, ended - began))
    attempts = _attempts(entry)
    again = _further_tries(entry)
    calls = [_call(entry, n, scale, again.get(n, ())) for n in range(int(entry["calls"]))]
    marks = [scale.total_ms * quarter // 4 for quarter in range(5)]
    genesys = _genesys(entry, attempts, scale)
    return Waterfall(began, scale.total_ms, marks, calls, genesys, attempts)


@dataclass(frozen=True)
class _Scale:
    began: int
    total_ms: int

    @property
    def ended(self) -> int:
        return self.began + self.total_ms

    def bar(self, kind: Kind, start: int, end: int, what: str) -> list[Bar]:
        """One bar, cut to the time that is shown; none when it lies outside."""
        start, end = max(start, self.began), min(end, self.ended)
        if end < start:
            return []
        x = 100 * (start - self.began) / self.total_ms
        width = max(_LEAST, 100 * (end - start) / self.total_ms)
        return [Bar(kind, round(min(x, 100 - _LEAST), 2), round(width, 2), what)]


def _further_tries(entry: Entry) -> dict[int, list[int]]:
    """When each further try of a call began, by index, in order."""
    found: dict[int, dict[int, int]] = {}
    for name, at in entry.items():
        if name.startswith("try_at:"):
            _, index, number = name.split(":")
            found.setdefault(int(index), {})[int(number)] = int(at)
    return {index: [at for _, at in sorted(tries.items())] for index, tries in found.items()}


def _call(entry: Entry, index: int, scale: _Scale, again: Sequence[int]) -> CallRow:
    def of(name: str) -> int:
        return int(entry.get(f"{name}:{index}") or 0)

    code, tries = entry.get(f"code:{index}", ""), of("tries")
    started, ended = of("started_at"), of("ended_at") if code else 0
    work_ms = of("validate_ms") + of("took_ms") if code else None
    bars: list[Bar] = []
    if ended and ended < scale.began:
        started = 0  # of an earlier generation, kept by a replay
    elif not started:
        bars += scale.bar("wait", scale.began, ended or scale.ended, "waiting for a worker")
    else:
        bars += scale.bar("wait", scale.began, started, "waiting for a worker")
        bars += _tries(entry, index, scale, [started, *again], ended or scale.ended)
    return CallRow(
        index,
        entry.get(f"id:{index}", ""),
        entry.get(f"name:{index}", ""),
        code,
        max(0, started - scale.began) if started else None,
        work_ms,
        tries,
        of("bytes") if code else 0,
        bars,
    )


def _tries(entry: Entry, index: int, scale: _Scale, starts: Sequence[int], end: int) -> list[Bar]:
    """The tries apart: all but the last ended without an outcome."""
    bars: list[Bar] = []
    for number, at in enumerate(starts[:-1], 1):
        bars += scale.bar("lost", at, starts[number], f"try {number}, without an outcome")
    what = f"try {max(len(starts), int(entry.get(f'tries:{index}') or 1))}"
    is_waiting = f"code:{index}" not in entry and f"holder:{index}" not in entry
    is_open = entry["state"] not in ("submitted", "dead")
    if is_waiting and is_open:
        return [*bars, *scale.bar("wait", starts[-1], end, "waiting for another try")]
    if is_waiting:  # answered without it
        return [*bars, *scale.bar("lost", starts[-1], end, f"{what}, without an outcome")]
    return [*bars, *scale.bar("work", starts[-1], end, what)]


def _attempts(entry: Entry) -> list[Attempt]:
    """The newest attempts, in order."""
    count = int(entry.get("attempts", 0))
    found = []
    for number in range(max(1, count - _SHOWN_ATTEMPTS + 1), count + 1):
        took = entry.get(f"attempt_took_ms:{number}")
        found.append(
            Attempt(
                number,
                int(entry.get(f"attempt_at:{number}") or 0),
                entry.get(f"attempt_status:{number}", ""),
                entry.get(f"attempt_code:{number}", ""),
                entry.get(f"attempt_correlation_id:{number}", ""),
                None if took is None else int(took),
                entry.get(f"attempt_error:{number}", ""),
            )
        )
    return found


def _genesys(entry: Entry, attempts: Sequence[Attempt], scale: _Scale) -> list[Bar]:
    """Bars from the last output, or the freeze, on: waits for Genesys, and each attempt."""
    count = int(entry["calls"])
    codes = [index for index in range(count) if f"code:{index}" in entry]
    last = max((int(entry.get(f"ended_at:{index}") or 0) for index in codes), default=0)
    if len(codes) < count:
        frozen = int(entry.get("frozen_at") or 0) or int(entry.get("answer_by") or 0)
        frozen = frozen or (attempts[0].at if attempts else 0)
        if not frozen or frozen > scale.ended:
            return []
        last = frozen
    at, bars = max(last, scale.began), list[Bar]()
    for attempt in attempts:
        took = attempt.took_ms
        end = scale.ended if took is None and attempt is attempts[-1] else attempt.at + (took or 0)
        bars += scale.bar("genesys", at, attempt.at, "waiting until it may be sent")
        status = f": {attempt.status}" if attempt.status else ""
        bars += scale.bar("post", attempt.at, end, f"attempt {attempt.number}{status}")
        at = end
    if entry["state"] not in ("submitted", "dead") and (
        not attempts or attempts[-1].took_ms is not None
    ):
        bars += scale.bar("genesys", at, scale.ended, "waiting until it may be sent")
    return bars
