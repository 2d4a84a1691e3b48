"""Tool calls of one run for operators: state, owner, worker and what each waits for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from db.activity import Blocked
from ledger.bounds import MAX_TRIES
from ops.diagnosis.observations import Observations

State = Literal["answered", "leased", "lost", "queued"]


@dataclass(frozen=True)
class Call:
    """
    One call.

    `code` is "" until it is answered; `owner` is host:pid of the process that leases it, and
    `worker` that worker's name if it answers; "lost" means that the process has ended.
    """

    index: int
    call_id: str
    tool: str
    state: State
    tries: int
    code: str = ""
    owner: str = ""
    worker: str = ""
    started_at: int = 0
    lease_until: int = 0
    database: str = "default"
    unavailable: str = ""
    blocked: Blocked | None = None

    @property
    def title(self) -> str:
        """Its name in a sentence."""
        return f"call {self.index} ({self.tool})"

    @property
    def ending(self) -> str:
        """How it ended; with its tries if each ended its worker."""
        poison = self.code == "internal_error" and self.tries >= MAX_TRIES
        how = f" after {self.tries} tries that each ended its worker" if poison else ""
        return f"{self.title} {self.code}{how}"

    def as_fact(self) -> dict[str, Any]:
        """Plain JSON, without what is empty."""
        fact = {
            "index": self.index,
            "tool_call_id": self.call_id,
            "tool": self.tool,
            "state": self.state,
            "tries": self.tries,
            "code": self.code,
            "owner": self.owner,
            "worker": self.worker,
        }
        return {name: value for name, value in fact.items() if value != ""}


def calls_of(entry: Mapping[str, str], seen: Observations | None) -> list[Call]:
    """
    Every call of a run, in order.

    Args:
        seen: None when only the calls' endings matter.
    """
    return [_call(entry, index, seen) for index in range(int(entry["calls"]))]


def _call(entry: Mapping[str, str], index: int, seen: Observations | None) -> Call:
    def of(name: str, otherwise: str = "") -> str:
        return entry.get(f"{name}:{index}", otherwise)

    tool, code, owner = of("name"), of("code"), of("holder")
    known = (index, of("id"), tool)
    tries = int(of("tries", "0"))
    if code:
        return Call(*known, "answered", tries, code)
    if seen is None:
        return Call(*known, "queued", tries)
    database = seen.database_of.get(tool, "default")
    was_begun = bool(of("started_at"))
    unavailable = seen.unavailable.get(database, "") if was_begun else ""
    lease_until = int(of("busy_until", "0"))
    if not owner or lease_until <= seen.place.now_ms:
        return Call(*known, "queued", tries, database=database, unavailable=unavailable)
    worker = _worker(owner, seen)
    is_lost = worker is None
    return Call(
        *known,
        "lost" if is_lost else "leased",
        tries,
        owner=owner.rpartition(":")[0],
        worker=worker or "",
        started_at=int(of("started_at", "0")),
        lease_until=lease_until,
        database=database,
        unavailable=unavailable,
        blocked=None if is_lost else _blocked(tool, database, seen),
    )


def _worker(owner: str, seen: Observations) -> str | None:
    """The name of the worker whose process leases a call; None when that process has ended."""
    host, pid, _ = owner.rsplit(":", 2)
    if seen.workers is None:
        return ""  # the broker is unavailable, so the process may be alive
    for worker in seen.workers:
        if int(pid) in worker.pids and worker.host == host:
            return worker.node
    return None


def _blocked(tool: str, database: str, seen: Observations) -> Blocked | None:
    """The session that runs this tool's statement, if it waits for a lock."""
    # up to the first placeholder, which was replaced; the server keeps 1024 bytes of a statement
    beginning = seen.statement_of.get(tool, "").partition("%(")[0].strip()[:500]
    for session in seen.blocked.get(database, ()):
        if beginning and beginning in session.statement:
            return session
    return None
