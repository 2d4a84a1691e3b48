"""What the receiver needs of the pipeline: accept a run, then publish its one message."""

from collections.abc import Sequence

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from db.errors import CatalogError
from genesys.types import ToolCall
from runtime import logs, settings
from tasks.errors import LedgerUnavailable
from tasks.outage import Outage
from tasks.publishing import be_brief, fan_out_envelope, publish_fan_out
from tasks.records import Accepted
from tasks.worker import check, open_ledger, shared_queue

LEDGER_TIMEOUT_S = 0.4
"""Two tries fit into the second in which a 503 must be out."""

_PUBLISH_ERRORS = (KombuError, RedisError, OSError)

_log = logs.get("door")


class Door:
    """Takes runs in; use one per process, from any thread."""

    def __init__(self) -> None:
        be_brief()
        values = settings.load()
        self._ledger = open_ledger(values, timeout_s=LEDGER_TIMEOUT_S, retries=0)
        self._queue = shared_queue(values)
        self._ledger_outage = Outage(
            lambda: LedgerUnavailable("the ledger is known to be away"), LedgerUnavailable
        )
        self._broker_outage = Outage(
            lambda: ConnectionError("the broker is known to be away"), *_PUBLISH_ERRORS
        )

    def __call__(self, run_id: str, calls: Sequence[ToolCall]) -> Accepted:
        """
        Accept a run: once this returns, it is safe.

        A publish that fails is logged and forgiven: the run is in the ledger and due.

        Raises:
            LedgerUnavailable: Nothing is known to be stored; the sender must try again.
            Conflict: The key is known with other calls.
            Busy: Too many runs wait to begin.
        """
        with self._ledger_outage.ask():
            accepted = self._ledger.accept(
                run_id,
                calls,
                queue=self._queue,
                message_of=lambda key: fan_out_envelope(run_id, key, generation=0),
            )
        ids = {"run_id": run_id, "key": accepted.key}
        if accepted.is_duplicate:
            _log.info("delivery.duplicate", **ids)
            return accepted
        if not self._queue:
            self._publish(ids)
        _log.info("delivery.accepted", **ids, calls=len(calls))
        return accepted

    def _publish(self, ids: dict[str, str]) -> None:
        try:
            with self._broker_outage.ask():
                publish_fan_out(**ids, generation=0)
        except _PUBLISH_ERRORS as error:
            _log.warning("delivery.unpublished", **ids, reason=type(error).__name__)

    def missing(self) -> list[str]:
        """Names of what keeps runs from being accepted: away, full, or a replica."""
        try:
            self._ledger.ping()
        except LedgerUnavailable:
            return ["the ledger"]
        return []


def open_door() -> Door:
    """
    Check as `check_door` does, then make the door. Nothing is connected yet.

    Raises:
        SystemExit: With all mistakes, one a line.
    """
    check_door()
    return Door()


def check_door() -> None:
    """
    Read settings and tool catalogue, as a start must before it listens.

    Raises:
        SystemExit: With all mistakes, one a line.
    """
    try:
        settings.load("REDIS_URL", "WEBHOOK_SECRETS")
        check()
    except (settings.SettingsError, CatalogError) as mistakes:
        raise SystemExit(f"the receiver cannot start:\n{mistakes}") from mistakes
