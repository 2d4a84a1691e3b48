"""Alerter: a thread of each reconciler that looks for causes and POSTs each once, signed."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from genesys.client import Client
from genesys.errors import GenesysError
from genesys.http import HttpClient
from ledger import Ledger
from ledger.admin import RunStore
from ledger.alerts import AlertStore, Event
from ledger.errors import LedgerUnavailable
from ledger.owners import new_owner_id
from ops.observability.causes import Cause, Watch
from runtime import logs
from runtime.settings import Settings

LOOK_EVERY_S = 5.0
"""Between two looks for causes."""
TIMEOUT_S = 5.0
"""For one event; the lease covers it."""
AT_ONCE = 20
_LONGEST_PAUSE_S = 30.0

_log = logs.get("alerts")


class NoAnswer(Exception):
    """The receiver of alerts did not answer; what waits is sent again later."""


class Receiver(Protocol):
    """Where events are sent."""

    def send(self, event: Event) -> int:
        """Send one event; the status of the answer. Raises NoAnswer."""


class Source(Protocol):
    """Source of the causes that hold now."""

    def causes(self) -> list[Cause]:
        """All causes that hold; raises LedgerUnavailable."""


class AlertReceiver:
    """
    The receiver of alerts: any that verifies Standard Webhooks.

    Args:
        secret: `whsec_` and base64.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        encoded = secret.removeprefix("whsec_")
        self._key = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
        self._http = HttpClient(allow_http=True)

    def send(self, event: Event) -> int:
        """
        Send one event, signed; it has the same id again. Returns the status of the answer.

        Raises:
            NoAnswer: It did not answer.
        """
        name = f"alert_{hashlib.sha256(event.raw.encode()).hexdigest()[:32]}"
        body = json.dumps(_body(event), separators=(",", ":"), ensure_ascii=False).encode()
        at = str(int(time.time()))
        signed = b".".join([name.encode(), at.encode(), body])
        signature = base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}",
        }
        try:
            return self._http.post(self._url, body, headers, TIMEOUT_S).status
        except GenesysError as error:
            raise NoAnswer(type(error).__name__) from None


class Alerter:
    """One of any number of equal ones; one at a time looks and sends."""

    def __init__(self, store: AlertStore, source: Source, receiver: Receiver) -> None:
        self._store, self._source, self._receiver = store, source, receiver
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._pause_s = LOOK_EVERY_S
        self._send_again_at = 0.0
        self._is_down = False

    def start(self) -> None:
        """Look and send from now on, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; another reconciler sends what is left."""
        self._stopping.set()
        self._thread.join(timeout=2)

    def look(self) -> None:
        """
        Note what is wrong now, and send what is new.

        Raises:
            LedgerUnavailable: Nothing is lost.
        """
        if not self._store.lease():
            return
        causes = {cause.id: cause.as_fact() for cause in self._source.causes()}
        if self._store.note(causes):
            self._send()

    def _send(self) -> None:
        """
        Send what waits, oldest first; a receiver that is down is tried again later.

        Behind an event that was refused only those of its own cause wait.
        """
        if time.monotonic() < self._send_again_at:
            return
        refused: dict[str, int] = {}
        has_sent = False
        for event in self._store.waiting(AT_ONCE):
            cause = event.cause["id"]
            if cause in refused:
                continue
            if self._stopping.is_set() or not self._store.lease():
                return
            try:
                status = self._receiver.send(event)
            except NoAnswer as error:
                self._put_off(str(error))
                return
            if not 200 <= status < 300:
                refused[cause] = status
                continue
            self._store.sent(event)
            _log.info("alert.sent", kind=event.kind, cause=cause)
            has_sent = True
        if refused:
            self._put_off(f"it answered {max(refused.values())}")
        elif has_sent:
            self._is_down, self._pause_s = False, LOOK_EVERY_S / 2

    def _put_off(self, reason: str) -> None:
        if not self._is_down:
            _log.warning("alerts.unsent", reason=reason)
        self._is_down = True
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self._send_again_at = time.monotonic() + self._pause_s

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
            except LedgerUnavailable:
                pass  # the reconciler logs it
            except Exception as error:  # noqa: BLE001  the outermost loop of a thread
                _log.error("alerts.failed", reason=type(error).__name__)


def _body(event: Event) -> dict[str, object]:
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {"type": f"alert.{event.kind}", "timestamp": at, "data": event.cause}


def alerter_from(values: Settings, ledger: Ledger, client: Client) -> Callable[[], None]:
    """
    Start the alerter that the settings describe, if they do.

    Returns:
        What stops it.
    """
    if values.alert_url is None or values.alert_secret is None:
        return lambda: None
    watch = Watch(values, RunStore(ledger), client)
    receiver = AlertReceiver(values.alert_url.reveal(), values.alert_secret.reveal())
    alerter = Alerter(AlertStore(ledger, new_owner_id()), watch, receiver)
    alerter.start()
    _log.info("alerts.started")
    return alerter.stop
