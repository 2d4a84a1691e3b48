"""Sentry's Celery integration with a transport that writes events to a file, one a process."""

import json
import os
from pathlib import Path

import sentry_sdk
from celery.signals import worker_init, worker_process_init
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport


class FileTransport(Transport):
    """Keeps each envelope's event in place of sending it."""

    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is not None:
            path = Path(os.environ["EVENTS_DIR"]) / f"{os.getpid()}.jsonl"
            with path.open("a") as file:
                file.write(json.dumps(event, default=repr) + "\n")


def _break(what):
    def fail(*_, **__):
        raise RuntimeError("broken on purpose")

    module, name, attribute = {
        "validate": ("db.catalog", "Catalog", "validate"),
        "query": ("db.pool", "Databases", "query"),
        "submit": ("genesys.client", "Client", "encode"),
    }[what]
    setattr(getattr(__import__(module, fromlist=[name]), name), attribute, fail)


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
def break_one_part(**_):
    """Break what BROKEN names."""
    _break(os.environ["BROKEN"])


def events(folder):
    """All events that were reported so far."""
    texts = [path.read_text() for path in Path(folder).glob("*.jsonl")]
    return [json.loads(line) for text in texts for line in text.splitlines()]
