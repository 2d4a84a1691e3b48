"""Observations for the diagnosis of a run: workers, queue, databases, Genesys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from db import activity, catalog
from db.errors import CatalogError, Unavailable
from genesys.pacing import rate_limiter
from genesys.pacing.status import GenesysStatus
from ledger.admin import Place, RunStore
from runtime import settings
from tasks import fleet
from tasks.fleet import BrokerUnavailable, Worker

ENDED_STATES = ("submitted", "dead")


@dataclass(frozen=True)
class Observations:
    """
    What can keep the run from ending; only what its own state makes relevant is observed.

    `workers` is None while the broker is unavailable, `genesys_status` when it is not known.
    `blocked` (sessions that wait for a lock) and `unavailable` (the error) are by database,
    `database_of` and `statement_of` by tool.
    """

    place: Place
    workers: Sequence[Worker] | None = ()
    queue_length: int = 0
    blocked: Mapping[str, Sequence[activity.Blocked]] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    database_of: Mapping[str, str] = field(default_factory=dict)
    statement_of: Mapping[str, str] = field(default_factory=dict)
    genesys_status: GenesysStatus | None = None


def missing_calls(entry: Mapping[str, str]) -> list[int]:
    """The calls of a run that have no output yet."""
    return [n for n in range(int(entry["calls"])) if f"output:{n}" not in entry]


def waits_for_calls(entry: Mapping[str, str], now_ms: int) -> bool:
    """Whether tool calls are what is missing, and not the submission of what there is."""
    if "body" in entry or now_ms >= int(entry["answer_by"]):
        return False
    return bool(missing_calls(entry))


def observe(store: RunStore, key: str, entry: Mapping[str, str]) -> Observations:
    """
    Observe workers, databases and Genesys as far as the run depends on them; takes 1 to 5 s.

    Raises:
        LedgerUnavailable: The ledger's Redis does not answer.
    """
    place = store.place(key)
    if entry["state"] in ENDED_STATES:
        return Observations(place)
    if not waits_for_calls(entry, place.now_ms):
        return Observations(place, genesys_status=_genesys_status())
    workers: Sequence[Worker] | None
    try:
        workers, queue_length = fleet.workers(), fleet.queue_length()
    except BrokerUnavailable:
        workers, queue_length = None, 0
    tools = _tools()
    blocked, unavailable = _databases(entry, tools)
    return Observations(
        place,
        workers,
        queue_length,
        blocked,
        unavailable,
        {name: tool.database for name, tool in tools.items()},
        {name: tool.statement for name, tool in tools.items()},
    )


def _genesys_status() -> GenesysStatus | None:
    try:
        limiter = rate_limiter.from_settings(settings.load("REDIS_URL"))
    except settings.SettingsError:
        return None
    return limiter.status() if limiter else None


def _tools() -> Mapping[str, catalog.Tool]:
    try:
        return catalog.load(settings.load().tools_dir).tools
    except CatalogError:
        return {}


def _databases(
    entry: Mapping[str, str], tools: Mapping[str, catalog.Tool]
) -> tuple[dict[str, Sequence[activity.Blocked]], dict[str, str]]:
    """Query the databases of calls that were begun; the others do not wait for theirs yet."""
    begun = [entry[f"name:{n}"] for n in missing_calls(entry) if f"started_at:{n}" in entry]
    names = {tools[name].database if name in tools else "default" for name in begun}
    urls = settings.load().database_urls()
    blocked: dict[str, Sequence[activity.Blocked]] = {}
    unavailable = {}
    for name in sorted(names & set(urls)):
        try:
            blocked[name] = activity.blocked_sessions(urls[name])
        except Unavailable as error:
            unavailable[name] = str(error)
    return blocked, unavailable
