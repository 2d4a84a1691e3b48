"""A ledger that does not answer one step, once; a worker loads it with `-I`."""

import os
from pathlib import Path

from celery.signals import worker_process_init

from ledger import Ledger
from ledger.errors import LedgerUnavailable


@worker_process_init.connect(weak=False)
def fail_once(**_):
    """The first process that takes the step named by FAIL_ONCE finds no ledger."""
    step = os.environ.get("FAIL_ONCE")
    if not step:
        return
    whole = getattr(Ledger, step)

    def fail(*arguments, **options):
        try:
            (Path(os.environ["SIGNALS_DIR"]) / "failed").touch(exist_ok=False)
        except FileExistsError:
            return whole(*arguments, **options)
        raise LedgerUnavailable("failed on purpose")

    setattr(Ledger, step, fail)
