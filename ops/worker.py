"""`toolworker worker`: what `celery -A tasks worker` starts, in 20 MB less."""

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

_ALWAYS = ("--without-gossip", "--without-mingle", "--loglevel", "INFO")
"""Workers have nothing to tell each other: the ledger knows."""

_UNNEEDED = ("charset_normalizer", "psutil", "pygments", "rich", "yaml")
"""For terminals, and for formats and character sets that we refuse: who looks for them at import
does without. Genesys answers in UTF-8."""


def serve(options: Sequence[str]) -> None:
    """
    Start one worker by Celery's own command, without the other commands that `celery` imports, a
    shell and Flower among them.

    Args:
        options: Those of `celery worker`, such as `["-c", "4"]`, but for `--detach`.
    """
    # before anything asks for them; shared by the processes of a worker, but never used by any
    sys.modules.update(dict.fromkeys(_UNNEEDED))  # type: ignore[arg-type]
    warnings.filterwarnings("ignore", r"Unable to find acceptable character detection")
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    from tasks.worker import app

    context = CLIContext(app=app, no_color=False, workdir=None)
    given: dict[str, Any] = {"obj": context, "auto_envvar_prefix": "CELERY_WORKER"}
    arguments = [*_ALWAYS, *options]
    with worker.make_context(None, [*arguments], resilient_parsing=True, **given) as parsed:
        if parsed.params.get("detach"):
            # Celery would start another command, which knows no tasks of ours and drops messages
            raise click.UsageError("--detach: a worker stays in the foreground")
    worker.main(arguments, prog_name="toolworker worker", **given)
