"""The tool calls of one run as an operator sees them: where each is, and what it waits for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from db.activity import Blocked
from ledger.ledger import MAX_TRIES
from ops.diagnosis.observations import Circumstances

State = Literal["answered", "in hand", "lost", "queued"]


@dataclass(frozen=True)
class Call:
    """
    One call.

    `code` is "" until it is answered; `holder` is host:pid:count of whoever has it in hand, and
    `worker` that worker's name if it answers; "lost" means that its holder is gone.
    """

    index: int
    call_id: str
    tool: str
    state: State
    tries: int
    code: str = ""
    holder: str = ""
    worker: str = ""
    started_at: int = 0
    busy_until: int = 0
    database: str = "default"
    away: str = ""
    blocked: Blocked | None = None

    @property
    def title(self) -> str:
        """How it is named in a sentence."""
        return f"call {self.index} ({self.tool})"

    @property
    def ending(self) -> str:
        """How it ended; a call that ends its worker again and again is named as what it is."""
        poison = self.code == "internal_error" and self.tries >= MAX_TRIES
        how = f" after {self.tries} tries that each ended its worker" if poison else ""
        return f"{self.title} {self.code}{how}"

    def as_fact(self) -> dict[str, Any]:
        """Plain JSON, without what is empty."""
        told = {
            "index": self.index,
            "tool_call_id": self.call_id,
            "tool": self.tool,
            "state": self.state,
            "tries": self.tries,
            "code": self.code,
            "holder": self.holder,
            "worker": self.worker,
        }
        return {name: value for name, value in told.items() if value != ""}


def calls_of(entry: Mapping[str, str], around: Circumstances | None) -> list[Call]:
    """
    Every call of a run, in order.

    Args:
        around: None when all that is asked for is how the calls ended.
    """
    return [_call(entry, index, around) for index in range(int(entry["calls"]))]


def _call(entry: Mapping[str, str], index: int, around: Circumstances | None) -> Call:
    def of(name: str, otherwise: str = "") -> str:
        return entry.get(f"{name}:{index}", otherwise)

    tool, code, holder = of("name"), of("code"), of("holder")
    known = (index, of("id"), tool)
    tries = int(of("tries", "0"))
    if code:
        return Call(*known, "answered", tries, code)
    if around is None:
        return Call(*known, "queued", tries)
    database = around.database_of.get(tool, "default")
    was_begun = bool(of("started_at"))
    away = around.away.get(database, "") if was_begun else ""
    busy_until = int(of("busy_until", "0"))
    if not holder or busy_until <= around.place.now_ms:
        return Call(*known, "queued", tries, database=database, away=away)
    worker = _worker(holder, around)
    is_lost = worker is None
    return Call(
        *known,
        "lost" if is_lost else "in hand",
        tries,
        holder=holder.rpartition(":")[0],
        worker=worker or "",
        started_at=int(of("started_at", "0")),
        busy_until=busy_until,
        database=database,
        away=away,
        blocked=None if is_lost else _blocked(tool, database, around),
    )


def _worker(holder: str, around: Circumstances) -> str | None:
    """The name of the worker whose process has a call in hand; None when that process is gone."""
    host, pid, _ = holder.rsplit(":", 2)
    if around.workers is None:
        return ""  # nobody could be asked
    for worker in around.workers:
        if int(pid) in worker.pids and worker.host == host:
            return worker.node
    return None


def _blocked(tool: str, database: str, around: Circumstances) -> Blocked | None:
    """The session that asks this tool's statement, if it waits for a lock."""
    # up to the first placeholder, which was replaced; the server keeps 1024 bytes of a statement
    beginning = around.statement_of.get(tool, "").partition("%(")[0].strip()[:500]
    for session in around.blocked.get(database, ()):
        if beginning and beginning in session.statement:
            return session
    return None
