"""The Celery app and what one worker process holds: ledger, catalogue, databases, Genesys."""

import gc
from dataclasses import dataclass
from functools import cache
from typing import Any

from celery import Celery
from celery.signals import (
    setup_logging,
    worker_before_create_process,
    worker_init,
    worker_process_init,
)

import tasks.repairs  # noqa: F401  (applies them, in every process that talks to the broker)
from db import catalog, connection, pool
from db.errors import CatalogError
from genesys import client as genesys
from runtime import logs, metrics, settings
from tasks import ledger, scripts
from tasks.pace import Pace

app = Celery("toolworker", include=["tasks.pipeline", "tasks.panel"], config_source="celeryconfig")


@dataclass(frozen=True)
class Tools:
    """What a worker process works with; made after the fork, because sockets do not survive it."""

    ledger: ledger.Ledger
    catalog: catalog.Catalog
    databases: pool.Databases
    genesys: genesys.Client
    list_key: str
    answer_by_s: float
    pace: Pace
    queue: str
    """Where ledger and broker are one Redis, its list of messages; else empty."""


@cache
def tools() -> Tools:
    """The tools of this process, made on first use. Nothing is connected yet."""
    values = settings.load("REDIS_URL", "DATABASE_URL")
    loaded = check()
    databases = pool.Databases(values.database_urls())
    databases.open()
    return Tools(
        open_ledger(values, loaded, timeout_s=5.0, retries=6),
        loaded,
        databases,
        genesys.from_settings(values),
        values.genesys_list_key,
        values.run_answer_by_s,
        Pace(),
        shared_queue(values),
    )


def shared_queue(values: settings.Settings) -> str:
    """The queue's list in the ledger's Redis; empty where the broker is another."""
    return str(app.conf.task_default_queue) if values.ledger() == values.broker() else ""


def open_ledger(
    values: settings.Settings,
    loaded: catalog.Catalog | None = None,
    *,
    timeout_s: float,
    retries: int,
) -> ledger.Ledger:
    """
    A ledger with this deployment's times; nothing is connected yet.

    Args:
        loaded: Needed only where calls are started: a tool's timeout bounds how long one is in
            hand.
    """
    return ledger.Ledger(
        scripts.connect(values.ledger(), timeout_s=timeout_s, retries=retries),
        answer_by_s=values.run_answer_by_s,
        expires_s=values.run_expires_s,
        retention_s=values.run_retention_s,
        dead_letter_retention_s=values.dead_letter_retention_s,
        max_wait_s=values.run_max_wait_s,
        max_waiting=values.run_max_waiting,
        timeouts_ms={t.name: t.timeout_ms for t in loaded.tools.values()} if loaded else {},
    )


@cache
def check() -> catalog.Catalog:
    """
    Read settings and the tool catalogue, as a start must before it takes work.

    Once: what is made of a worker's tools before it forks is shared by its processes, those that
    take the place of others included, whatever has become of the files by then.

    Raises:
        SettingsError, CatalogError: All mistakes at once.
    """
    return catalog.load(settings.load().tools_dir)


_started_with: list[str] = []


def started_with() -> str:
    """The digest of the catalogue that this worker's main process has checked."""
    return _started_with[-1] if _started_with else ""


@setup_logging.connect
def _configure_logs(**_: Any) -> None:
    logs.configure()


@worker_init.connect
def _check_before_start(**_: Any) -> None:
    # an exception here would be logged and ignored by Celery; only SystemExit stops the worker
    try:
        values = settings.load("REDIS_URL", "DATABASE_URL")
        loaded = check()
        missing = loaded.without_database(values.database_urls())
        if missing:
            raise CatalogError(missing)
        for name, url in values.database_urls().items():
            connection.connect_options(url, name)
        for name, cause in connection.problems(values.database_urls()).items():
            # no reason not to start: it may come back before the first call
            logs.get("worker").warning("database.unreachable", database=name, cause=cause)
        genesys.from_settings(values)
        metrics.serve_from(values)
    except (settings.SettingsError, CatalogError) as mistakes:
        raise SystemExit(f"the worker cannot start:\n{mistakes}") from mistakes
    _started_with.append(loaded.digest)
    logs.get("worker").info("worker.started", catalog=loaded.digest)


@worker_before_create_process.connect
def _share_memory(**_: Any) -> None:
    # a full collection in a child would touch every object, and so copy the pages that it shares
    # with its parent; what is garbage by now would be frozen for good
    gc.collect()
    gc.freeze()
    # a run makes a few thousand objects and no cycles to speak of; the default, 700, costs 4 %
    gc.set_threshold(20_000, 10, 10)


@worker_process_init.connect
def _open_tools(**_: Any) -> None:
    # makes objects and starts the pools' threads, but never waits: a handler slower than
    # worker_proc_alive_timeout gets the process killed, and an outage would become a fork loop
    tools()
