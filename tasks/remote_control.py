"""Remote-control commands: Celery loads them in workers, whose main process runs them."""

from importlib.metadata import version
from typing import Any

from celery.worker.control import control_command, inspect_command

from db.errors import CatalogError
from runtime import logs, settings
from tasks import catalogs

_log = logs.get("worker")


@inspect_command()
def toolworker(state: Any) -> dict[str, str]:
    """The release of this worker, and the digest of the tool catalogue that it uses."""
    return {"version": version("toolworker"), "catalog": catalogs.shared().current().digest}


@control_command()
def reload_tools(state: Any) -> dict[str, str]:
    """
    Load the tool folders anew. With a mistake in them the catalogue stays as it was.

    Returns:
        The digests of the catalogue `before` and `after`, and the `mistakes`, one a line.
    """
    shared = catalogs.shared()
    before = shared.current().digest
    try:
        after = shared.reload(settings.load().database_urls()).digest
    except (CatalogError, OSError) as error:
        mistakes = str(error)
        _log.error("catalog.refused", catalog=before, mistakes=mistakes)
        return {"before": before, "after": before, "mistakes": mistakes}
    _log.info("catalog.reloaded", catalog=after, before=before)
    return {"before": before, "after": after, "mistakes": ""}
