"""The Celery app: its configuration, the message of a run, and the length of its queues."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

import tasks.compat  # noqa: F401  (applies the patches, in every process that uses the broker)
from runtime import logs, settings
from tasks.dispatcher import Events

FIRST_CALLS = 8
"""Calls of a run whose messages share a queue with those of all runs; the messages of further ones
have a queue of their own, so that a large run does not hold up small ones."""

_CONFIG = Path(__file__).resolve().parent.parent / "celeryconfig.py"

# The loader is named, or CELERY_LOADER would be imported before our settings can refuse it; without
# fix-ups, or DJANGO_SETTINGS_MODULE would have Django closed and checked around our tasks.
app = Celery(
    "toolworker",
    loader="app",
    fixups=[],
    events=Events,
    include=["tasks.pipeline", "tasks.resources", "tasks.remote_control"],
)


@app.on_configure.connect
def _check_settings(**_: Any) -> None:
    """Refuse wrong settings before Celery follows one of them, such as CELERY_CONFIG_MODULE."""
    try:
        settings.load("REDIS_URL")
    except settings.SettingsError as mistakes:
        raise SystemExit(f"the settings are wrong:\n{mistakes}") from mistakes


@app.add_defaults
def _config() -> dict[str, Any]:
    """Our `celeryconfig.py`, by its place: another project's may lie in the current folder."""
    return {k: v for k, v in runpy.run_path(str(_CONFIG)).items() if not k.startswith("_")}


def publish_fan_out(run_id: str, key: str, generation: int) -> None:
    """
    Publish the one message of a run, for any worker. Publishing twice is harmless.

    Raises:
        OperationalError: It is not known to be in the queue. It was tried as the process'
            configuration says: see `limit_publishing`.
    """
    kwargs = {"run_id": run_id, "key": key, "generation": generation}
    # given, since Celery makes reprs slowly, and declares a queue that needs none for each message:
    # together a sixth of what a delivery costs the receiver
    given: dict[str, Any] = {"argsrepr": "()", "kwargsrepr": repr(kwargs), "declare": []}
    app.send_task("fan_out", kwargs=kwargs, task_id=f"{key}:{generation}:fan_out", **given)


def queue_lengths() -> dict[str, int]:
    """
    How many messages each queue holds that no worker has taken yet, that of runs first.

    Raises:
        OperationalError: The broker did not reply.
    """
    pool: Any = app.pool  # of connections; the stubs have one of producers
    try:
        with pool.acquire(block=True) as connection:
            return queue_lengths_over(connection)
    except (RedisError, OSError) as exc:
        raise OperationalError(f"the broker did not reply: {type(exc).__name__}") from exc


def queue_lengths_over(connection: Any) -> dict[str, int]:
    """The same over a connection to the broker; raises what redis-py and kombu raise."""
    client = connection.default_channel.client
    return {queue.name: client.llen(queue.name) for queue in app.conf.task_queues}


def limit_publishing() -> None:
    """In this process a publish ends within half a second, whatever the broker does."""
    app.conf.update(app.conf["RECEIVER"])


@celeryd_init.connect  # before a worker's first line, and by the other one instead of Celery's own
@setup_logging.connect
def _configure_logs(**_: Any) -> None:
    logs.configure()


@celeryd_init.connect
def _check_pool(options: Mapping[str, Any], **_: Any) -> None:
    pool = options.get("pool") or options.get("pool_cls")
    name = pool if isinstance(pool, str) else getattr(pool, "__module__", "")
    kind = name.rpartition(".")[2]
    allowed = {"prefork", "asynpool", ""} | ({"solo"} if settings.load().debug_solo_pool else set())
    if kind not in allowed:
        raise SystemExit(
            f"the worker cannot start:\n-P {kind}: only the prefork pool keeps time limits, on "
            "which every answer in time rests; for debugging set DEBUG_SOLO_POOL=true and use solo"
        )
