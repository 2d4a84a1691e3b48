"""Checks of a running service: its parts, both Redis, Genesys' status, the last runs' ends."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import ledger
from genesys.pacing import rate_limiter
from ledger.admin import RunStore
from ledger.errors import LedgerUnavailable
from ledger.lines import RunLines
from ops import deliveries
from ops.certificate import NoCertificate, ends_in_s
from ops.doctor.result import CheckResult
from runtime import settings
from runtime.metrics import TOOL_FAULTS
from runtime.redis_health import (
    LITTLE_DISK,
    NEARLY_FULL,
    connect_to_read,
    free_disk_ratio,
    read_health,
)

_TIMEOUT_S = 2.0
_WAITS_S = 5.0
_STUCK_S = 60.0
_CERTIFICATE_S = 14 * 86_400.0
_DEAD_LETTERS_S = 3_600.0
_CALLS_S = 600.0
_CALLS_OF_RUNS, _CALLS_OF_TOOL = 100, 20
_FAILING = 0.05
"""Bounds as in ops/monitoring/alerts.yml."""


def running(values: settings.Settings) -> Iterator[CheckResult]:
    """Everything that shows only when the service runs, but for the workers; takes about 0.1 s."""
    yield from receiver(values)
    yield from certificate(values)
    yield from redis_memory_and_disk(values)
    with suppress(LedgerUnavailable):  # reported before
        yield from ledger_contents(values)
    yield from genesys_status(values)


def receiver(values: settings.Settings) -> Iterator[CheckResult]:
    """Whether the receiver at `RECEIVER_URL`, if that is set, takes deliveries."""
    url = values.receiver_url
    if url is None:
        return
    try:
        answer = deliveries.get(f"{url.rstrip('/')}/readyz", timeout_s=_TIMEOUT_S)
    except deliveries.NoAnswer:
        problem = f"none answers at {url}; docs/runbooks/no-receiver.md"
        yield CheckResult("receiver", problem, can_heal=True)
        return
    if answer.status == 200:
        yield CheckResult("receiver")
    else:
        yield CheckResult("receiver", f"it refuses deliveries ({answer.status}): {answer.body}")


def certificate(values: settings.Settings) -> Iterator[CheckResult]:
    """Whether the certificate at `TLS_ENDPOINT`, if that is set, lasts for two weeks."""
    if values.tls_endpoint is None:
        return
    try:
        left_s = ends_in_s(values.tls_endpoint, timeout_s=_TIMEOUT_S)
    except NoCertificate as error:
        yield CheckResult("certificate", f"{error}; docker compose ps proxy")
        return
    if left_s < _CERTIFICATE_S:
        when = f"ends in {left_s / 86_400:.0f} days" if left_s > 0 else "has ended"
        yield CheckResult("certificate", f"it {when}; docs/runbooks/certificate.md")
    else:
        yield CheckResult("certificate")


def redis_memory_and_disk(values: settings.Settings) -> Iterator[CheckResult]:
    """Whether both Redis have memory and disk left; a server that is down is reported elsewhere."""
    servers = {"LEDGER_URL": values.ledger(), "REDIS_URL": values.broker()}
    for name, url in servers.items():
        if not url or (name == "REDIS_URL" and url == values.ledger()):
            continue
        with connect_to_read(url, values.redis_tls(url), timeout_s=_TIMEOUT_S) as client:
            health = read_health(client)
        if health is None:
            continue
        if health.memory_ratio is not None and health.memory_ratio > NEARLY_FULL:
            problem = f"{health.memory_ratio:.0%} of its maxmemory are used"
            yield CheckResult(f"{name} memory", f"{problem}; docs/runbooks/redis-memory.md")
        else:
            yield CheckResult(f"{name} memory")
        if health.disk_fault is not None:
            yield CheckResult(f"{name} disk", f"{health.disk_fault}; docs/runbooks/redis-disk.md")
    yield from _disk("LEDGER_DISK", values.ledger_disk)
    yield from _disk("BROKER_DISK", values.broker_disk)


def _disk(setting: str, folder: Path | None) -> Iterator[CheckResult]:
    ratio = None if folder is None else free_disk_ratio(folder)
    if ratio is None:
        return
    if ratio < LITTLE_DISK:
        yield CheckResult(setting, f"{ratio:.0%} of it are free; docs/runbooks/redis-disk.md")
    else:
        yield CheckResult(setting)


def ledger_contents(values: settings.Settings) -> Iterator[CheckResult]:
    """
    Whether reconcilers look at the ledger, runs move, and lately ended as they should.

    Raises:
        LedgerUnavailable: It does not answer.
    """
    if not values.ledger():
        return
    store = ledger.from_settings(values, timeout_s=_TIMEOUT_S, retries=0)
    with store.client:
        runs = RunStore(store)
        counted = runs.counts()
        waiting_s, open_s = counted.oldest_waiting_ms / 1000, counted.oldest_open_ms / 1000
        yield from _reconcilers(RunLines(store))
        if waiting_s > _WAITS_S:
            problem = (
                f"a run has waited {waiting_s:.0f} s for a worker; docs/runbooks/queue-slow.md"
            )
            yield CheckResult("queue", problem)
        if open_s > _STUCK_S:
            problem = f"one is open for {open_s:.0f} s; docs/runbooks/runs-stuck.md"
            yield CheckResult("runs", problem)
        if dead := runs.new_dead_letters(_DEAD_LETTERS_S):
            what = f"{dead} in the last hour; docs/runbooks/dead-letters.md"
            yield CheckResult("dead letters", what)
        yield from failing_tools(runs)


def _reconcilers(lines: RunLines) -> Iterator[CheckResult]:
    if lines.status().at_work():
        yield CheckResult("reconcilers")
    else:
        problem = "none looks at the ledger; docs/runbooks/no-reconciler.md"
        yield CheckResult("reconcilers", problem, can_heal=True)


def failing_tools(runs: RunStore) -> Iterator[CheckResult]:
    """Tools with too many of their last calls ended by a fault of the tool or its database."""
    calls, faults = Counter[str](), Counter[str]()
    last: dict[str, str] = {}
    for tool, code in runs.ended_calls(_CALLS_S, most=_CALLS_OF_RUNS):
        if calls[tool] == _CALLS_OF_TOOL:
            continue  # the newest calls count alone, so that a repaired tool is soon well
        calls[tool] += 1
        if code in TOOL_FAULTS:
            faults[tool] += 1
            last.setdefault(tool, code)
    for tool, count in sorted(faults.items()):
        if count / calls[tool] > _FAILING:
            problem = (
                f"{count} of its last {calls[tool]} calls failed, the last one with {last[tool]}"
            )
            yield CheckResult(f"tool {tool}", f"{problem}; docs/runbooks/tool-fails.md")


def genesys_status(values: settings.Settings) -> Iterator[CheckResult]:
    """State of rate limit, circuit breaker and token in Redis; nothing is sent to Genesys."""
    try:
        limiter = rate_limiter.from_settings(values)
    except settings.SettingsError:
        return  # reported before
    status = limiter.status() if limiter else None
    if status is None:
        return
    if status.token_error:
        problem = f"{status.token_error}; docs/runbooks/token-refused.md"
        yield CheckResult("genesys token", problem)
    if status.is_circuit_open:
        yield CheckResult("genesys", "it counts as down; docs/runbooks/circuit-open.md")
