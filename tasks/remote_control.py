"""Remote-control command: release and catalogue digest of a worker. Celery loads it in workers."""

from importlib.metadata import version
from typing import Any

from celery.worker.control import inspect_command

from tasks import resources


@inspect_command()
def toolworker(state: Any) -> dict[str, str]:
    """The release and the digest of the tool catalogue that this worker started with."""
    return {"version": version("toolworker"), "catalog": resources.checked_catalog().digest}
