"""Count CPU and memory of a process tree, and round trips to its Redis servers."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import redis

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a worker tree and of its Redis servers, and the round trips to these."""

    cpu_s: float
    redis_cpu_s: float
    round_trips: float

    def since(self, earlier: "Cost", *, idle: "Cost", for_s: float) -> "Cost":
        """
        The difference to *earlier*, less what an idle tree takes.

        Args:
            idle: The cost of one idle second.

            for_s: How long the difference lasted.
        """
        return Cost(*map(lambda now, then, each: now - then - each * for_s, self, earlier, idle))

    def per(self, count: float) -> "Cost":
        """The share of each of *count*."""
        return Cost(*(total / count for total in self))

    def __iter__(self) -> Iterator[float]:
        return iter(astuple(self))


NOTHING = Cost(0, 0, 0)


def read(tree: int, clients: Sequence[redis.Redis]) -> Cost:
    """
    The cost up to now of the processes that descend from *tree*, itself included.

    Args:
        clients: Of the Redis servers that this tree alone uses. Each reading is one more round
            trip.
    """
    infos = [client.info("stats", "cpu") for client in clients]

    def total(*names: str) -> float:
        return sum(info[name] for info in infos for name in names)  # type: ignore[index]

    return Cost(
        sum(map(cpu_of, family(tree))),
        total("used_cpu_user", "used_cpu_sys"),
        total("total_reads_processed"),
    )


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
    *root* first, then all processes that descend from it.

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
