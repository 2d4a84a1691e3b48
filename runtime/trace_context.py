"""W3C trace context of a run: every process derives the same ids from what the ledger keeps."""

import hashlib
import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
)
_RATIO_END = 1 << 56


def parse_traceparent(header: str) -> str:
    """
    A `traceparent` of version 00 with the ids of *header*; "" when it has none to rely on.

    Of a later version only what version 00 knows is kept, as W3C's recommendation has it.
    """
    found = _TRACEPARENT.fullmatch(header.strip(" \t"))
    if found is None or (found["more"] and header.lstrip(" \t").startswith("00")):
        return ""
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return ""
    return f"00-{found['trace']}-{found['parent']}-{int(found['flags'], 16) & 1:02x}"


@dataclass(frozen=True)
class RunTrace:
    """
    The trace of a run from its delivery, or from a replay of it, to its end.

    `parent_id` is the sender's span, "" without one.
    """

    trace_id: str
    parent_id: str
    is_sampled: bool
    seed: str

    def span_id(self, *name: str | int) -> str:
        """The id of one span, 16 hex digits, such as of `("query", 0)`; always the same."""
        text = ":".join([self.seed, *map(str, name)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def traceparent(self, *name: str | int) -> str:
        """The header with which a span hands the trace on."""
        return f"00-{self.trace_id}-{self.span_id(*name)}-{self.is_sampled:02x}"


def run_trace(key: str, traceparent: str = "", replays: int = 0) -> RunTrace:
    """
    The trace of a run.

    Args:
        key: The run's; without a delivery's `traceparent` it is the trace id.

        traceparent: As `parse_traceparent` returned it.

        replays: How often the run was opened again; each replay has spans of its own.
    """
    seed = f"{key}.{replays}"
    if not traceparent:
        return RunTrace(key, "", True, seed)
    _, trace_id, parent_id, flags = traceparent.split("-")
    return RunTrace(trace_id, parent_id, flags == "01", seed)


def is_in_share(trace_id: str, share: float) -> bool:
    """
    Whether a trace is among the *share* (0 to 1) that is kept.

    By the trace id's last 56 bits, which are random by W3C's recommendation, and so the same for
    each exporter and each attempt.
    """
    return int(trace_id, 16) % _RATIO_END < share * _RATIO_END


UNTRACED = run_trace("0" * 31 + "1")
"""Trace of a call outside of a run, such as a trial of a tool."""
