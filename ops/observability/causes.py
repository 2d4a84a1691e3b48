"""Causes of alerts: what is wrong now, with the sentence of `runs why` and the next command."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import redis

from genesys.client import Client
from genesys.pacing.status import GenesysStatus
from ledger.admin import RunStore
from ops.diagnosis.observations import Observations, observe
from ops.diagnosis.reasons import is_stuck
from ops.diagnosis.why import diagnose
from ops.doctor.running import failing_tools
from runtime.redis_health import NEARLY_FULL, connect_to_read, read_health
from runtime.settings import Settings
from tasks import fleet
from tasks.fleet import BrokerUnavailable

DEAD_LETTERS_S = 3_600
"""A dead letter is a cause for this long, unless it is replayed or dropped; as in the doctor."""
_TIMEOUT_S = 2.0
_RUNBOOKS = {
    "NO_WORKER": "no-worker",
    "BROKER_DOWN": "redis-down",
    "CIRCUIT_OPEN": "circuit-open",
    "NO_TOKEN": "token-refused",
    "RATE_LIMITED": "throttled",
    "QUEUED": "queue-slow",
    "DEAD_LETTER": "dead-letters",
    "TOOL_FAILS": "tool-fails",
    "LEDGER_NEARLY_FULL": "redis-memory",
    "LEDGER_DISK": "redis-disk",
}


@dataclass(frozen=True)
class Cause:
    """
    One thing that is wrong.

    `name` is of a closed list, `subject` what it is of (a tool, a dead letter's reason), "" for
    one of a kind. `sentence` is for people; `next` are commands to type.
    """

    name: str
    subject: str
    sentence: str
    next: tuple[str, ...]
    run_key: str = ""

    @property
    def id(self) -> str:
        """Id under which the cause is reported once."""
        return f"{self.name}:{self.subject}" if self.subject else self.name

    def as_fact(self) -> dict[str, Any]:
        """Plain JSON, with the runbook."""
        runbook = _RUNBOOKS.get(self.name, "runs-stuck")
        return {"id": self.id, **asdict(self), "runbook": f"docs/runbooks/{runbook}.md"}


class Watch:
    """
    Looks for causes.

    Args:
        runs: Read with a client that waits as briefly as a reconciler's look may.
    """

    def __init__(self, values: Settings, runs: RunStore, client: Client) -> None:
        self._runs, self._client = runs, client
        url = values.ledger()
        self._ledger: redis.Redis = connect_to_read(
            url, values.redis_tls(url), timeout_s=_TIMEOUT_S
        )

    def causes(self) -> list[Cause]:
        """
        What is wrong now; takes 1 to 9 s, most of it waiting for workers.

        Raises:
            LedgerUnavailable: The ledger does not answer.
        """
        status = self._client.status()
        roots = [*_of_workers(), *_of_genesys(status)]
        # a run that is stuck for one of these is no further cause
        stuck = [] if roots else list(self._stuck(status))
        tools = [
            Cause("TOOL_FAILS", name, f"the tool {name} fails: {found.problem}", _LOOK_AT_TOOL)
            for found in failing_tools(self._runs)
            if (name := found.subject.removeprefix("tool "))
        ]
        return [*roots, *stuck, *tools, *self._dead_letters(), *self._memory()]

    def _stuck(self, status: GenesysStatus | None) -> Iterator[Cause]:
        """The reason of the open run that is late for longest."""
        now_ms = self._runs.place("").now_ms
        late = [
            run
            for run in self._runs.summaries(self._runs.keys("open"))
            if is_stuck(
                now_ms,
                int(run["accepted_at"]),
                int(run["begun_at"] or 0),
                int(run["answer_by"] or 0),
            )
        ]
        if not late:
            return
        key = min(late, key=lambda run: int(run["accepted_at"]))["key"]
        entry = self._runs.entry(key)
        if not entry or entry["state"] in ("submitted", "dead"):
            return
        found = diagnose(key, _without_errors(entry), observe(self._runs, key, entry))
        name = "NO_TOKEN" if status and status.token_error else found.reason
        if found.reason not in ("DONE", "DEAD"):
            sentence = f"{len(late)} runs are late, the oldest because {found.sentence}"
            yield Cause(name, "", sentence, (f"toolworker runs why {key}", *found.next), key)

    def _dead_letters(self) -> Iterator[Cause]:
        """One cause for each reason, with the newest of its dead letters."""
        place = self._runs.place("")
        newest: dict[str, dict[str, str]] = {}
        # dead letters are kept for a week: of 10,000 all would be read each 5 s
        for run in self._runs.summaries(self._runs.dead_letter_keys(DEAD_LETTERS_S)):
            if run["reason"]:
                newest[run["reason"]] = run
        for reason, run in newest.items():
            entry = self._runs.entry(run["key"])
            if entry.get("state") == "dead":
                seen = Observations(place)
                found = diagnose(run["key"], _without_errors(entry), seen)
                sentence = f"run {run['run_id']}: {found.sentence}"
                yield Cause("DEAD_LETTER", reason, sentence, found.next, run["key"])

    def _memory(self) -> Iterator[Cause]:
        health = read_health(self._ledger)
        if health is None:
            return
        if health.memory_ratio is not None and health.memory_ratio > NEARLY_FULL:
            sentence = (
                f"{health.memory_ratio:.0%} of the ledger's maxmemory are used; when it is full, "
                "new runs are refused with 503"
            )
            yield Cause("LEDGER_NEARLY_FULL", "", sentence, ("toolworker doctor",))
        if health.disk_fault is not None:
            yield Cause("LEDGER_DISK", "", f"the ledger: {health.disk_fault}", _DOCTOR)


_DOCTOR = ("toolworker doctor",)
_LOOK_AT_TOOL = ("toolworker tools check --database", "toolworker runs list --since 15m")


def _of_workers() -> Iterator[Cause]:
    try:
        workers: Sequence[fleet.Worker] = fleet.workers()
    except BrokerUnavailable:
        sentence = "the broker does not answer, so no message reaches a worker"
        yield Cause("BROKER_DOWN", "", sentence, _DOCTOR)
        return
    if not workers:
        start = "docker compose up -d worker"
        look = "docker compose logs --tail 50 worker"
        yield Cause("NO_WORKER", "", "no worker answers; no tool is called", (start, look))


def _of_genesys(status: GenesysStatus | None) -> Iterator[Cause]:
    if status is None:
        return
    if status.token_error:
        sentence = f"there is no token: {status.token_error}"
        yield Cause("NO_TOKEN", "", sentence, ("toolworker doctor --token",))
    elif status.is_circuit_open:
        sentence = (
            f"Genesys is down ({status.failures} POSTs failed in a row); one POST at a time probes "
            "whether it is up again"
        )
        yield Cause("CIRCUIT_OPEN", "", sentence, ("toolworker runs list --stuck", *_DOCTOR))


def _without_errors(entry: dict[str, str]) -> dict[str, str]:
    """Without Genesys' own sentences, which may quote the body."""
    return {n: text for n, text in entry.items() if not n.startswith("attempt_error:")}
