"""Count Celery's task signals; a worker loads it with `-I`, each process writes a file."""

import json
import os
from pathlib import Path

from celery import signals

from tests.acceptance.instruments import lines


def _write(signal, name, task_id):
    path = Path(os.environ["SIGNALS_DIR"]) / f"{os.getpid()}.jsonl"
    with path.open("a") as file:
        file.write(json.dumps([signal, name, task_id]) + "\n")


@signals.task_prerun.connect(weak=False)
def _prerun(task_id, task, **_):
    _write("prerun", task.name, task_id)


@signals.task_postrun.connect(weak=False)
def _postrun(task_id, task, **_):
    _write("postrun", task.name, task_id)


@signals.task_success.connect(weak=False)
def _success(sender, **_):
    _write("success", sender.name, sender.request.id)


@signals.task_retry.connect(weak=False)
def _retry(sender, request, **_):
    _write("retry", sender.name, request.id)


@signals.task_failure.connect(weak=False)
def _failure(sender, task_id, **_):
    _write("failure", sender.name, task_id)


def signalled(folder):
    """All signals that were sent so far: (signal, task's name, task's id)."""
    return [tuple(found) for found in lines.read(folder)]
