"""Try the commands that the service needs of a Redis, and name those that fail."""

import uuid
from collections.abc import Callable, Iterator

import redis
from redis import exceptions

FULL = "its memory is full (maxmemory), so that it takes no writes"
_KEPT_MS = 5_000


def lacks(client: redis.Redis, *, is_broker: bool) -> list[str]:
    """
    Reasons why the service cannot work with this Redis, a sentence each; none if it can.

    Args:
        is_broker: Whether Celery's messages go through it, for which it subscribes, too.

    Raises:
        redis.RedisError: It cannot be reached at all.
    """
    return list(_lacks(client, is_broker))


def _lacks(client: redis.Redis, is_broker: bool) -> Iterator[str]:
    if _is_cluster(client):
        # anything else would only fail by the same cause
        yield "it runs in cluster mode, which Celery cannot use; give it a Redis without cluster"
        return
    key = f"toolworker:trial:{uuid.uuid4().hex}"
    trials: list[tuple[str, Callable[[], object]]] = [
        ("write keys; its user needs ~* and +@write", lambda: client.set(key, "", px=_KEPT_MS)),
        (
            "run scripts; its user needs +@scripting",
            lambda: client.eval("return #KEYS", 1, key),
        ),
    ]
    if is_broker:
        channel = f"/{_database(client)}.toolworker.trial"
        trials += [
            ("publish; its user needs &* and +@pubsub", lambda: client.publish(channel, "")),
            ("subscribe; its user needs &* and +@pubsub", lambda: _subscribe(client, channel)),
        ]
    found = []
    for right, trial in trials:
        sentence = _trial(right, trial)
        if sentence and sentence not in found:
            found.append(sentence)
            yield sentence


def _trial(right: str, trial: Callable[[], object]) -> str | None:
    try:
        trial()
    except exceptions.NoPermissionError:
        return f"we may not {right}"
    except exceptions.ReadOnlyError:
        return "it is a replica, which takes no writes; the URL must lead to the primary"
    except exceptions.OutOfMemoryError:
        return FULL
    except exceptions.ResponseError as error:
        code = str(error).partition(" ")[0]
        return _CODES.get(code, f"it refuses what we need with {code}")
    return None


_CODES = {
    "MISCONF": "it cannot write to its disk, so that it takes no writes",
    "NOREPLICAS": "it has too few replicas (min-replicas-to-write), so that it takes no writes",
    "MASTERDOWN": "it is a replica that has lost its primary",
}


def _is_cluster(client: redis.Redis) -> bool:
    try:
        return str(client.info("cluster").get("cluster_enabled")) == "1"
    except exceptions.ResponseError:  # no right to look: then what fails is named by its own
        return False


def _database(client: redis.Redis) -> int:
    return int(client.get_connection_kwargs().get("db") or 0)


def _subscribe(client: redis.Redis, channel: str) -> None:
    with client.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(channel)
        subscription.get_message(timeout=1)
