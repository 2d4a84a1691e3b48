"""`toolworker dashboard`: pages of runs, dead letters, tools and the fleet."""

from typing import Any


def create_app() -> Any:
    """The Flask app of one gunicorn worker."""
    from ops.pages.app import build  # gunicorn reads its settings in this package before it forks

    return build()
