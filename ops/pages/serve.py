"""`toolworker dashboard`: replace this process by gunicorn, which serves the pages."""

import os
import sys

from runtime import settings


def serve(*, address: str, port: int) -> None:
    """
    Become gunicorn, which serves until SIGTERM or Ctrl-C.

    Raises:
        SettingsError: A setting is wrong, or DASHBOARD_PASSWORD is not set.
    """
    settings.load("REDIS_URL", "DASHBOARD_PASSWORD")
    bind = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    options = ["-c", "python:ops.pages.gunicorn", "--bind", bind, "ops.pages:create_app()"]
    # gunicorn itself, so that signals and exit codes are its own
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *options])  # noqa: S606
