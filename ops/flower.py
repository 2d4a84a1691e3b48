"""`toolworker flower`: Flower with our settings, for the tasks that workers hold."""

from pathlib import Path


def serve(*, address: str, port: int, database: Path) -> None:
    """
    Run Flower until SIGTERM or Ctrl-C.

    Args:
        database: The file for what it has seen; a restart begins with that.

    Raises:
        SettingsError: FLOWER_PASSWORD is not set.
    """
    from runtime import settings
    from tasks import app

    settings.load("REDIS_URL", "FLOWER_PASSWORD")
    config = Path(__file__).with_name("flower_config.py")
    options = [f"--conf={config}", f"--address={address}", f"--port={port}", f"--db={database}"]
    app.start(["flower", *options])
