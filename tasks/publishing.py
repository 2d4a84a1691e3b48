"""Publish `fan_out`, the one message of a delivery."""

from tasks.envelopes import envelope, publish
from tasks.pipeline import RunIds, fan_out
from tasks.worker import app


def be_brief() -> None:
    """In this process a publish ends within half a second, whatever the broker does."""
    app.conf.update(app.conf["RECEIVER"])


def publish_fan_out(run_id: str, key: str, generation: int) -> None:
    """
    Let any worker begin the run.

    Raises:
        KombuError, RedisError, OSError: It is not known to be in the queue. Nothing is tried again.
    """
    publish(fan_out, {_name(key, generation): _ids(run_id, key, generation)})


def fan_out_envelope(run_id: str, key: str, generation: int) -> str:
    """The same message as it stands in the queue, for whoever puts it there himself."""
    return envelope(fan_out, _name(key, generation), _ids(run_id, key, generation))


def _name(key: str, generation: int) -> str:
    return f"{key}:{generation}:fan_out"


def _ids(run_id: str, key: str, generation: int) -> RunIds:
    return RunIds(run_id=run_id, key=key, generation=generation)
