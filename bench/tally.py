"""What running costs, as the kernel and Redis count it: CPU and memory of a tree, round trips."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a worker tree, and what its Redis was asked since it began."""

    cpu_s: float
    round_trips: float
    commands: float
    bytes: float

    def since(self, earlier: "Cost", *, idle: "Cost | None" = None, for_s: float = 0) -> "Cost":
        """
        The difference to *earlier*, less what an idle tree takes.

        Args:
            idle: The cost of one idle second.

            for_s: How long the difference lasted.
        """
        idle = idle or Cost(0, 0, 0, 0)
        return Cost(
            self.cpu_s - earlier.cpu_s - idle.cpu_s * for_s,
            self.round_trips - earlier.round_trips - idle.round_trips * for_s,
            self.commands - earlier.commands - idle.commands * for_s,
            self.bytes - earlier.bytes - idle.bytes * for_s,
        )

    def per(self, count: float) -> "Cost":
        """The share of each of *count*."""
        shares = (self.cpu_s, self.round_trips, self.commands, self.bytes)
        return Cost(*(share / count for share in shares))


def read(tree: int, client: redis.Redis | None) -> Cost:
    """
    The cost up to now of the processes that descend from *tree*, itself included.

    Args:
        client: Of the Redis that this tree alone uses; None if it uses none. Each time we ask is
            one more round trip.
    """
    cpu_s = sum(cpu_of(pid) for pid in family(tree))
    if client is None:
        return Cost(cpu_s, 0, 0, 0)
    info: Mapping[str, float] = client.info("stats")  # type: ignore[assignment]
    moved = info["total_net_input_bytes"] + info["total_net_output_bytes"]
    return Cost(cpu_s, info["total_reads_processed"], info["total_commands_processed"], moved)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, in nanoseconds, and of its ended children, in steps of 10 ms."""
    # the process' clock by the numbers of clock_getcpuclockid(3), which Python leaves out
    own_s = time.clock_gettime(~pid << 3 | 2)
    return own_s + ended_cpu_of((_PROC / str(pid) / "stat").read_text())


def ended_cpu_of(stat: str) -> float:
    """CPU seconds, in a /proc/PID/stat, of children that ended and were waited for."""
    # the name in field 2 may hold spaces and brackets; field 3 follows the last bracket
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / _TICKS_PER_S


def family(root: int) -> list[int]:
    """*root* and all that descend from it, as of now."""
    parents = {}
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(path.parent.name)] = int(fields[1])
    return descendants(root, parents)


def descendants(root: int, parents: Mapping[int, int]) -> list[int]:
    """
    *root* first, then whoever descends from it.

    Args:
        parents: Parent by process.
    """
    found = [root]
    for pid in found:  # grows while it is gone through
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def memory_mb(tree: int) -> float:
    """The proportional set size of a tree: pages that several share count once altogether."""
    rollups = [(_PROC / str(pid) / "smaps_rollup").read_text() for pid in family(tree)]
    return sum(pss_kb(rollup) for rollup in rollups) / 1024


def pss_kb(rollup: str) -> int:
    """The Pss line of a /proc/PID/smaps_rollup."""
    line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1])
