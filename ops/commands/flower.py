"""`toolworker flower`: start Flower, the dashboard of Celery's tasks, with our settings."""

from importlib.util import find_spec
from pathlib import Path

import click

NOT_INSTALLED = (
    "Flower is not installed here: it comes with pip install 'toolworker[flower]', and in the "
    "image whose name ends in -flower"
)


def serve(*, address: str, port: int, database: Path | None) -> None:
    """
    Run Flower until SIGTERM or Ctrl-C.

    Args:
        database: The file for what it has seen; a restart begins with that. None keeps nothing.

    Raises:
        SettingsError: FLOWER_PASSWORD is not set.

        ClickException: Flower is not installed, or the port cannot be listened on.
    """
    if find_spec("flower") is None:
        raise click.ClickException(NOT_INSTALLED)
    from runtime import environment, logs, risks, settings
    from tasks import app

    values = settings.load("REDIS_URL", "FLOWER_PASSWORD")
    logs.configure()
    risks.log_risks(values)
    # Flower 2.2.0 takes every FLOWER_<OPTION>; Kubernetes sets FLOWER_PORT=tcp://... for a service
    environment.forget("FLOWER_")
    _try_port(address, port)
    config = Path(__file__).with_name("flower_config.py")
    options = [f"--conf={config}", f"--address={address}", f"--port={port}"]
    if database is not None:
        options += ["--persistent=true", f"--db={database}"]
    # Celery 5.7.0 takes APP of the environment, in place of the app that this is a method of
    app.start(["--app=tasks", "flower", *options])


def _try_port(address: str, port: int) -> None:
    from tornado.netutil import bind_sockets

    try:
        # as Flower 2.2.0 does it, which fails with a traceback and leaves a database behind
        for listening in bind_sockets(port, address):
            listening.close()
    except OSError as exc:
        what = f"cannot listen on port {port} of {address}: {exc.strerror}"
        raise click.ClickException(f"{what}; see --port and --address") from exc
