"""Sentry's Celery integration with a transport that writes events to a file, one a process."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

import sentry_sdk
from celery.signals import worker_init, worker_process_init
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

from db.catalog import Catalog
from db.pool import Databases
from genesys.client import Client
from tests.acceptance.instruments import lines


class FileTransport(Transport):
    """Keeps each envelope's event in place of sending it."""

    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is not None:
            path = Path(os.environ["EVENTS_DIR"]) / f"{os.getpid()}.jsonl"
            with path.open("a") as file:
                file.write(json.dumps(event, default=repr) + "\n")


def _make_breakable(link, owner, name):
    whole = getattr(owner, name)

    def fail(*arguments, **options):
        if _order(os.environ["EVENTS_DIR"], link).exists():
            raise RuntimeError("broken on purpose")
        return whole(*arguments, **options)

    setattr(owner, name, fail)


def _order(folder, link):
    return Path(folder) / f"break-{link}"


@contextmanager
def broken(folder, link):
    """Let each process fail in *link*, for as long as this lasts."""
    _order(folder, link).touch()
    try:
        yield
    finally:
        _order(folder, link).unlink()


@worker_init.connect(weak=False)
def report(**_):
    """Report the worker's errors, as Sentry's documentation does it."""
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=FileTransport,
        integrations=[CeleryIntegration()],
        send_default_pii=False,
        include_local_variables=False,  # they hold arguments and rows; see docs/production.md
        traces_sample_rate=1.0,
    )


@worker_process_init.connect(weak=False)
def prepare(**_):
    """Let what each link calls fail while it is ordered to."""
    _make_breakable("validate", Catalog, "validate")
    _make_breakable("query", Databases, "query")
    _make_breakable("submit", Client, "encode")


def events(folder):
    """All events that were reported so far."""
    return lines.read(folder)
