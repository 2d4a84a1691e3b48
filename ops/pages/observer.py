"""Cached observations that the pages show: runs, workers, databases, Genesys, doctor's results."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import ledger
from db import activity, catalog
from db.errors import CatalogError, Unavailable
from db.lint import live
from genesys.pacing import rate_limiter
from genesys.pacing.status import GenesysStatus
from ledger.admin import RunStore
from ledger.errors import LedgerUnavailable
from ledger.lines import LedgerStatus, RunLines
from ops.diagnosis.observations import ENDED_STATES, Observations, missing_calls, waits_for_calls
from ops.diagnosis.reasons import Diagnosis
from ops.diagnosis.why import diagnose
from ops.doctor import examination
from ops.doctor.result import CheckResult
from ops.pages.index import RunIndex, Snapshot
from ops.pages.watch import Seen, Watch
from runtime.settings import Settings, SettingsError
from tasks import fleet
from tasks.fleet import BrokerUnavailable, Worker

LEDGER_TIMEOUT_S = 2.0
GLANCE_S = 0.02
"""Longest wait of a list for the newest runs; then it shows older ones and renews itself."""
FIRST_S = 3.0
"""Longest wait of the very first list for the runs."""
FLEET_S, DOCTOR_S, TOOLS_S = 2.0, 4.0, 15.0
"""Seconds between two looks at workers and databases, of the doctor, at the tool folders."""
CHECK_S = 2.0
"""Seconds for the samples of a tool whose page an operator views."""
OLD_S = 10.0
"""Older observations of the fleet are not used in a diagnosis."""


@dataclass(frozen=True)
class Fleet:
    """Workers that answer (None: the broker does not), and the messages that wait for them."""

    workers: Sequence[Worker] | None
    messages: int


@dataclass(frozen=True)
class Databases:
    """By database: sessions that wait for a lock, and why it cannot be queried."""

    blocked: Mapping[str, Sequence[activity.Blocked]]
    unavailable: Mapping[str, str]


@dataclass(frozen=True)
class Examined:
    """The doctor's results, and each worker's catalogue digest; None without a broker."""

    results: Sequence[CheckResult]
    digests: Mapping[str, str] | None


@dataclass(frozen=True)
class ToolCheck:
    """Result of trying a tool on its database: mistakes and warnings, a sentence each."""

    mistakes: Sequence[str]
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Tools:
    """The catalogue as this process reads it; empty with `mistakes` when it has any."""

    catalog: catalog.Catalog
    mistakes: Sequence[str] = ()


class Observer:
    """Everything that the pages read; use one from any thread."""

    def __init__(self, values: Settings) -> None:
        self._values = values
        self.ledger = ledger.from_settings(values, timeout_s=LEDGER_TIMEOUT_S, retries=1)
        self.store = RunStore(self.ledger)
        self._lines = RunLines(self.ledger)
        self._genesys: rate_limiter.RateLimiter | None = None
        with suppress(SettingsError):  # the doctor reports it
            self._genesys = rate_limiter.from_settings(values)
        self._runs = Watch("runs", RunIndex(self.ledger).refresh, every_s=0.5, rest=4)
        self._fleet = Watch("workers", _look_at_workers, every_s=FLEET_S)
        self._databases = Watch("databases", self._look_at_databases, every_s=FLEET_S)
        self._doctor = Watch("doctor", self._examine, every_s=DOCTOR_S)
        self._checks: dict[str, Watch[ToolCheck]] = {}
        self._lock = threading.Lock()
        self._tools = Watch("tools", self._load_tools, every_s=TOOLS_S)

    def close(self) -> None:
        """End the threads that look."""
        ends = (self._runs.close, self._fleet.close, self._databases.close, self._doctor.close)
        for close in (*ends, self._tools.close, *(c.close for c in self._checks.values())):
            close()

    def runs(self) -> Snapshot:
        """
        All runs, as they were half a second ago or, when there are many open ones, a little more.

        Raises:
            LedgerUnavailable: Redis does not answer, or has not yet.
        """
        seen = self._runs.latest(wait_s=GLANCE_S) or self._runs.latest(wait_s=FIRST_S)
        if seen is None:
            raise LedgerUnavailable("it has not answered yet; many runs take seconds to read")
        return seen.value

    def look_again(self) -> None:
        """Read the runs anew: an operator changed one."""
        self._runs.forget()

    def fleet(self) -> Seen[Fleet] | None:
        """None until the workers replied or did not, which takes 1 to 4 s."""
        return self._fleet.latest(wait_s=0)

    def examined(self) -> Seen[Examined] | None:
        """None until the doctor has looked, which takes seconds; a look that fails is a problem."""
        try:
            return self._doctor.latest(wait_s=0)
        except Exception as error:  # noqa: BLE001  (every page has it; the look has logged it)
            problem = f"failed: {type(error).__name__}; call toolworker doctor for the rest"
            return Seen(Examined([CheckResult("doctor", problem)], None), 0.0)

    def tools(self) -> Tools:
        """The tools; the first call waits for them."""
        seen = self._tools.latest(wait_s=0) or self._tools.latest(wait_s=FIRST_S)
        return seen.value if seen else Tools(catalog.Catalog({}, ""), ["still reading the tools"])

    def genesys(self) -> GenesysStatus | None:
        """State of rate limit, circuit breaker and token; None when unknown."""
        return None if self._genesys is None else self._genesys.status()

    def ledger_status(self) -> LedgerStatus:
        """
        The ledger as a whole.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        return self._lines.status()

    def diagnosis(self, key: str, entry: Mapping[str, str], now_ms: int) -> Diagnosis | None:
        """
        The reason of a run, as `toolworker runs why` has it; None until the workers replied.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        place = self.store.place(key)
        if entry["state"] in ENDED_STATES:
            return diagnose(key, entry, Observations(place))
        if not waits_for_calls(entry, now_ms):
            return diagnose(key, entry, Observations(place, genesys_status=self.genesys()))
        seen, databases = self.fleet(), self._databases.latest(wait_s=0)
        if seen is None or seen.age_s > OLD_S:
            return None
        has_begun = any(f"started_at:{index}" in entry for index in missing_calls(entry))
        if has_begun and (databases is None or databases.age_s > OLD_S):
            return None
        waiting = databases.value if databases else Databases({}, {})
        tools = self.tools().catalog.tools
        around = Observations(
            place,
            seen.value.workers,
            seen.value.messages,
            waiting.blocked,
            waiting.unavailable,
            {name: tool.database for name, tool in tools.items()},
            {name: tool.statement for name, tool in tools.items()},
        )
        return diagnose(key, entry, around)

    def checked(self, tool: catalog.Tool) -> Seen[ToolCheck] | None:
        """The check of *tool* on its database; None until it was tried there."""
        with self._lock:
            if tool.name not in self._checks:
                look = partial(self._check, tool.name)
                self._checks[tool.name] = Watch(f"check {tool.name}", look, every_s=DOCTOR_S)
        return self._checks[tool.name].latest(wait_s=0)

    def _check(self, name: str) -> ToolCheck:
        tool = self.tools().catalog.tools.get(name)
        url = self._values.database_urls().get(tool.database) if tool else None
        if tool is None or url is None:
            return ToolCheck(["this process has no URL of its database"])
        try:
            found = list(live.examine(url, tool.database, [tool], tries_s=CHECK_S))
        except (Unavailable, SettingsError) as error:
            return ToolCheck([str(error)])
        lines = {f: f"{f.mistake.file}:{f.mistake.line}: {f.mistake.message}" for f in found}
        return ToolCheck(
            [line for f, line in lines.items() if not f.is_warning],
            [line for f, line in lines.items() if f.is_warning],
        )

    def _look_at_databases(self) -> Databases:
        blocked, unavailable = {}, {}
        for name, url in sorted(self._values.database_urls().items()):
            try:
                blocked[name] = activity.blocked_sessions(url)
            except Unavailable as error:
                unavailable[name] = str(error)
        return Databases(blocked, unavailable)

    def _examine(self) -> Examined:
        results = examination.check((), required=("REDIS_URL",))
        try:
            return Examined(results, fleet.catalogs())
        except BrokerUnavailable:
            return Examined(results, None)

    def _load_tools(self) -> Tools:
        try:
            return Tools(catalog.load(self._values.tools_dir))
        except CatalogError as error:
            return Tools(catalog.Catalog({}, ""), str(error).splitlines())


def problems_of(seen: Seen[Examined] | None) -> Sequence[CheckResult] | None:
    """The doctor's results with a problem; None before its first look."""
    return None if seen is None else [r for r in seen.value.results if r.problem is not None]


def _look_at_workers() -> Fleet:
    try:
        return Fleet(fleet.workers(), fleet.queue_length())
    except BrokerUnavailable:
        return Fleet(None, 0)
