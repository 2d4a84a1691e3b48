"""Everything around one run that can keep it from ending: workers, databases, Genesys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from db import activity, catalog
from db.errors import CatalogError, Unavailable
from genesys import client as genesys
from genesys.pacing.status import GenesysStatus
from ledger.admin import Place, RunStore
from runtime import settings
from tasks import fleet
from tasks.fleet import BrokerUnavailable, Worker

ENDED_STATES = ("submitted", "dead")


@dataclass(frozen=True)
class Circumstances:
    """
    What was found; only what the run's own state makes worth a look was looked for.

    `workers` is None when the broker could not be asked, `standing` when nobody knows; `blocked`
    and `away` are by database; `database_of` is by tool, `statement_of` too.
    """

    place: Place
    workers: Sequence[Worker] | None = ()
    queue_length: int = 0
    blocked: Mapping[str, Sequence[activity.Blocked]] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)
    database_of: Mapping[str, str] = field(default_factory=dict)
    statement_of: Mapping[str, str] = field(default_factory=dict)
    standing: GenesysStatus | None = None


def missing_calls(entry: Mapping[str, str]) -> list[int]:
    """The calls of a run that have no output yet."""
    return [n for n in range(int(entry["calls"])) if f"output:{n}" not in entry]


def waits_for_calls(entry: Mapping[str, str], now_ms: int) -> bool:
    """Whether tool calls are what is missing, and not the submission of what there is."""
    if "body" in entry or now_ms >= int(entry["answer_by"]):
        return False
    return bool(missing_calls(entry))


def gather(archive: RunStore, key: str, entry: Mapping[str, str]) -> Circumstances:
    """
    Look around a run; takes 1 to 5 s, because workers are asked and waited for.

    Raises:
        LedgerUnavailable: Nothing can be said without the ledger.
    """
    place = archive.place(key)
    if entry["state"] in ENDED_STATES:
        return Circumstances(place)
    if not waits_for_calls(entry, place.now_ms):
        return Circumstances(place, standing=_standing())
    workers: Sequence[Worker] | None
    try:
        workers, queue_length = fleet.workers(), fleet.queue_length()
    except BrokerUnavailable:
        workers, queue_length = None, 0
    tools = _tools()
    blocked, away = _databases(entry, tools)
    return Circumstances(
        place,
        workers,
        queue_length,
        blocked,
        away,
        {name: tool.database for name, tool in tools.items()},
        {name: tool.statement for name, tool in tools.items()},
    )


def _standing() -> GenesysStatus | None:
    try:
        return genesys.from_settings(settings.load("REDIS_URL")).status()
    except settings.SettingsError:
        return None


def _tools() -> Mapping[str, catalog.Tool]:
    try:
        return catalog.load(settings.load().tools_dir).tools
    except CatalogError:
        return {}


def _databases(
    entry: Mapping[str, str], tools: Mapping[str, catalog.Tool]
) -> tuple[dict[str, Sequence[activity.Blocked]], dict[str, str]]:
    """Ask the databases of those calls that were begun; the others cannot wait for theirs yet."""
    begun = [entry[f"name:{n}"] for n in missing_calls(entry) if f"started_at:{n}" in entry]
    names = {tools[name].database if name in tools else "default" for name in begun}
    urls = settings.load().database_urls()
    blocked: dict[str, Sequence[activity.Blocked]] = {}
    away = {}
    for name in sorted(names & set(urls)):
        try:
            blocked[name] = activity.blocked_sessions(urls[name])
        except Unavailable as error:
            away[name] = str(error)
    return blocked, away
