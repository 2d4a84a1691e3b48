"""What a worker's main process tells when it is asked; Celery loads it in workers alone."""

from importlib.metadata import version
from typing import Any

from celery.worker.control import inspect_command

from tasks import worker


@inspect_command()
def toolworker(state: Any) -> dict[str, str]:
    """The release and the digest of the tool catalogue that this worker started with."""
    return {"version": version("toolworker"), "catalog": worker.started_with()}
