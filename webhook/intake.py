"""Accept a run in the ledger, then publish its one message."""

from collections.abc import Mapping
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

import ledger
from db import catalog
from db.errors import CatalogError
from ledger.errors import LedgerUnavailable
from ledger.values import Accepted, Delivery
from runtime import logs, redis_trial, settings
from runtime.trace_context import run_trace
from tasks.app import limit_publishing, publish_fan_out
from webhook.context import unlisted_headers
from webhook.outage import Outage

LEDGER_TIMEOUT_S, LEDGER_RETRIES = 0.3, 1
"""Two tries fit into the second within which a 503 must be sent; the second is for a connection
that died without notice, so that no delivery is refused for it."""

_log = logs.get("webhook")


class Intake:
    """Accepts runs; use one per process, from any thread."""

    def __init__(self) -> None:
        limit_publishing()
        self._ledger = ledger.from_settings(
            settings.load(), timeout_s=LEDGER_TIMEOUT_S, retries=LEDGER_RETRIES
        )
        self._ledger_outage = Outage(LedgerUnavailable)
        self._broker_outage = Outage(OperationalError)

    def accept(
        self, delivery: Delivery, context: Mapping[str, Any], traceparent: str = ""
    ) -> Accepted:
        """
        Accept a run: once this returns, it is safe.

        A failed publish is only logged: the run is in the ledger, and a reconciler publishes it.

        Args:
            context: The values of the delivery that its tools bind, by source.

            traceparent: The sender's trace context, or "".

        Raises:
            LedgerUnavailable: Nothing is known to be stored; the sender must try again.
            Conflict: The key is known with other calls or another context.
            Busy: Too many runs wait for a worker.
        """
        run_id, calls = delivery["run_id"], delivery["tool_calls"]
        with self._ledger_outage.guard():
            accepted = self._ledger.accept(run_id, calls, context, traceparent=traceparent)
        ids = {"run_id": run_id, "key": accepted.key}
        logs.bind(trace_id=run_trace(accepted.key, traceparent).trace_id)
        if accepted.is_duplicate:
            _log.info("delivery.duplicate", **ids)
            return accepted
        if accepted.must_publish:
            try:
                with self._broker_outage.guard():
                    publish_fan_out(**ids, generation=0)
            except OperationalError as error:
                _log.warning("delivery.unpublished", **ids, reason=type(error).__name__)
        _log.info("delivery.accepted", **ids, calls=len(calls))
        return accepted

    def missing(self) -> str:
        """Why the ledger takes no new runs, such as a full memory; "" when it does."""
        try:
            self._ledger.ping()
        except LedgerUnavailable:
            try:
                lacking = redis_trial.lacks(self._ledger.client, is_broker=False)
            except RedisError as error:
                return f"it cannot be reached ({type(error).__name__})"
            return "; ".join(lacking) or "it did not reply in time"
        return ""


_kept: catalog.Catalog | None = None
"""What gunicorn's master loaded last; processes that it forks later have the same tools."""


def keep() -> catalog.Catalog:
    """
    Load and check settings and tools, for this process and those that it forks.

    Raises:
        SystemExit: With all mistakes, one a line.
    """
    global _kept
    try:
        _kept = _load()
    except (settings.SettingsError, CatalogError) as wrong:
        raise SystemExit(f"the receiver cannot start:\n{wrong}") from wrong
    return _kept


def kept() -> catalog.Catalog:
    """The tools that `keep` loaded; without a master they are loaded here."""
    return _kept or keep()


def reload() -> None:
    """Load the tools anew; with a mistake in them they stay as they are."""
    global _kept
    logs.configure()
    before = kept()
    try:
        _kept = _load()
    except CatalogError as mistakes:
        _log.error("catalog.refused", catalog=before.digest, mistakes=str(mistakes))
    else:
        _log.info("catalog.reloaded", catalog=_kept.digest, before=before.digest)


def _load() -> catalog.Catalog:
    values = settings.load("REDIS_URL", "WEBHOOK_SECRETS")
    tools = catalog.load(values.tools_dir)
    if mistakes := unlisted_headers(tools, values.bind_headers()):
        raise CatalogError(mistakes)
    return tools
