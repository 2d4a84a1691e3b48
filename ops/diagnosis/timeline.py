"""Timeline of a run from its ledger entry: accepted, begun, calls, attempts, ended."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

_OUTCOME = ("status", "code", "correlation_id", "took_ms", "error")


def timeline(entry: Mapping[str, str]) -> list[tuple[int, str]]:
    """
    What happened to a run, oldest first.

    Args:
        entry: Every field that the ledger has of the run.

    Returns:
        Pairs of milliseconds since the epoch and a sentence; no arguments, rows or outputs.
    """
    return sorted(_events(entry))


def when(at_ms: str | float) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC."""
    at = datetime.fromtimestamp(int(float(at_ms)) / 1000, UTC)
    return at.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def _events(entry: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    yield int(entry["accepted_at"]), f"accepted, run {entry['run_id']}, {entry['calls']} calls"
    if "begun_at" in entry:
        yield int(entry["begun_at"]), "begun by a worker"
    for index in range(int(entry["calls"])):
        yield from _call(entry, index)
    for attempt in range(1, int(entry.get("attempts", 0)) + 1):
        outcome = {name: entry.get(f"attempt_{name}:{attempt}") for name in _OUTCOME}
        how = ", ".join(f"{k} {v}" for k, v in outcome.items() if v) or "no outcome yet"
        yield int(entry[f"attempt_at:{attempt}"]), f"attempt {attempt}: {how}"
    for name in entry:
        if name.startswith("step_at:"):
            step = entry[f"step:{name.partition(':')[2]}"]
            yield int(entry[name]), f"reconciler: {step}"
        if name.startswith("replayed_at:"):
            generation = name.partition(":")[2]
            reason = entry[f"replayed_reason:{generation}"]
            yield int(entry[name]), f"generation {generation} ({reason}) opened again"
    if "ended_at" in entry:
        yield int(entry["ended_at"]), f"{entry['state']} {entry.get('reason', '')}".strip()


def _call(entry: Mapping[str, str], index: int) -> Iterator[tuple[int, str]]:
    call = f"call {index} ({entry.get(f'name:{index}', '')})"
    if f"started_at:{index}" in entry:
        yield int(entry[f"started_at:{index}"]), f"{call} started"
    if f"ended_at:{index}" in entry:
        took, tries = entry[f"took_ms:{index}"], entry.get(f"tries:{index}", "0")
        code, size = entry[f"code:{index}"], entry[f"bytes:{index}"]
        ended = f"{call} ended: {code}, {took} ms, try {tries}, {size} bytes"
        yield int(entry[f"ended_at:{index}"]), ended
