"""Make one step of the ledger fail once, as if Redis were down; a worker loads it with `-I`."""

import os
from pathlib import Path

from celery.signals import worker_process_init

from ledger import Ledger
from ledger.errors import LedgerUnavailable

STEPS = ("begin", "start", "record", "outputs")


def fail_once(folder, step):
    """Let the first process that takes *step* from now on find no ledger."""
    (folder / f"fail-{step}").touch()


@worker_process_init.connect(weak=False)
def prepare(**_):
    """Make each step look for the order to fail."""
    for step in STEPS:
        setattr(Ledger, step, _failing(step, getattr(Ledger, step)))


def _failing(step, whole):
    def fail(*arguments, **options):
        try:
            (Path(os.environ["SIGNALS_DIR"]) / f"fail-{step}").unlink()
        except FileNotFoundError:
            return whole(*arguments, **options)
        raise LedgerUnavailable("failed on purpose")

    return fail
