"""Resources of a worker process: ledger, tool catalogue, connection pools, Genesys client."""

import gc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from celery.signals import worker_before_create_process, worker_init, worker_process_init

import ledger
from db import catalog, connection, pool
from db.errors import CatalogError
from genesys import client as genesys
from runtime import logs, metrics, risks, settings
from tasks import catalogs

LEDGER_TIMEOUT_S, LEDGER_RETRIES = 5.0, 6
"""For workers and reconcilers: all tries together outlast a restart of the ledger."""


@dataclass(frozen=True)
class Resources:
    """Made after the fork, because sockets do not survive it."""

    ledger: ledger.Ledger
    catalog: catalog.Catalog
    databases: pool.Databases
    genesys: genesys.Client


_resources: Resources | None = None


def resources() -> Resources:
    """
    The resources of this process, made on first use; nothing is connected yet.

    Their catalogue is the one that the worker has now: `toolworker tools reload` replaces it.
    """
    global _resources
    current = catalogs.shared().current()
    if _resources is None:
        _resources = _make(current)
    elif _resources.catalog is not current:
        _resources.ledger.use_timeouts(_timeouts_ms(current))
        _resources = replace(_resources, catalog=current)
    return _resources


def _make(loaded: catalog.Catalog) -> Resources:
    values = settings.load("REDIS_URL", "DATABASE_URL")
    databases = pool.Databases(values.database_urls())
    databases.open()
    return Resources(open_ledger(values, loaded), loaded, databases, genesys.from_settings(values))


def open_ledger(values: settings.Settings, loaded: catalog.Catalog) -> ledger.Ledger:
    """The ledger of a worker or a reconciler; nothing is connected yet."""
    return ledger.from_settings(
        values,
        timeout_s=LEDGER_TIMEOUT_S,
        retries=LEDGER_RETRIES,
        timeouts_ms=_timeouts_ms(loaded),
    )


def _timeouts_ms(loaded: catalog.Catalog) -> Mapping[str, int]:
    return {tool.name: tool.timeout_ms for tool in loaded.tools.values()}


@worker_init.connect
def _check_before_start(**_: Any) -> None:
    # an exception here would be logged and ignored by Celery; only SystemExit stops the worker
    try:
        values = settings.load("REDIS_URL", "DATABASE_URL")
        risks.log_risks(values)
        loaded = catalogs.shared().current()
        missing = loaded.without_database(values.database_urls())
        if missing:
            raise CatalogError(missing)
        for name, url in values.database_urls().items():
            connection.connect_options(url, name)
        for name, cause in connection.problems(values.database_urls()).items():
            # no reason not to start: it may come back before the first call
            logs.get("worker").warning("database.unreachable", database=name, cause=cause)
        genesys.from_settings(values)
        metrics.serve_from(values, gauges=catalogs.gauge)
        for name in loaded.tools:
            metrics.count("tool_failures", 0, tool=name)
    except (settings.SettingsError, CatalogError) as mistakes:
        raise SystemExit(f"the worker cannot start:\n{mistakes}") from mistakes
    logs.get("worker").info("worker.started", catalog=loaded.digest)


@worker_before_create_process.connect
def _share_memory(**signal: Any) -> None:
    for tool in catalogs.shared().current().tools.values():
        _ = tool.validator  # compiled here, once, and not in each child: 2 MB of a worker's memory
    # a full collection in a child would touch every object, and so copy the pages that it shares
    # with its parent; what is garbage by now would be frozen for good
    gc.collect()
    gc.freeze()


@worker_process_init.connect
def _open_resources(**_: Any) -> None:
    # makes objects and starts the pools' threads, but never waits: a handler slower than
    # worker_proc_alive_timeout gets the process killed, and an outage would become a fork loop
    resources()
