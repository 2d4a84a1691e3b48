"""The reconciler: finish what the fast path could not, from the ledger's due runs."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from kombu.exceptions import OperationalError

from genesys import client as genesys
from ledger import Ledger
from ledger.due import DueRuns
from ledger.errors import LedgerUnavailable
from ledger.values import DueRun
from runtime import logs
from tasks.app import FIRST_CALLS, publish_fan_out, queue_lengths
from tasks.submission import submit_run

LOOK_EVERY_S = 0.5
"""Between two looks at the due set; what a run waits at most beyond its due time. Without jitter:
of reconcilers that look in the same millisecond one takes what is due, the others cost 1 ms."""
LOOK_SOON_S = 0.1
"""Pause after a look that published runs: the queues may have room for more by then."""
SENDERS = 8
"""Threads that submit. At 10 s a POST this is the worst case's rate; Genesys takes 5 a second."""
SEEN_EVERY_S = 5.0
"""Between two heartbeats of this process in the ledger, which `doctor` and the pages read."""
HELD_S = 1.0
"""Without a token no submission is taken for this long; then one run probes for a token."""

_log = logs.get("reconcile")


class Reconciler:
    """
    One of any number of equal processes; a run is handed to one of them at a time.

    Args:
        ledger: Used from all threads.

        client: Used from all threads.

    Attributes: `looked_at`, the monotonic time of the last look, whatever came of it.
    """

    def __init__(self, ledger: Ledger, client: genesys.Client) -> None:
        self._ledger = ledger
        self._due = DueRuns(ledger)
        self._client = client
        self._is_stopping = False
        self._wake = threading.Event()
        self._is_behind = False
        self._held_until = 0.0
        self._seen_at = 0.0
        self._published_at = -LOOK_EVERY_S
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        # by key; the ledger counts a run as published when it is given out
        self._unpublished: dict[str, DueRun] = {}
        self._is_broker_down = False
        self.looked_at = time.monotonic()
        self._pause_s = LOOK_EVERY_S
        self._free = threading.BoundedSemaphore(SENDERS)
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="sender")

    def run(self) -> None:
        """Look and act until `stop`; an outage is logged once and waited for."""
        was_down = False
        while not self._is_stopping:
            try:
                while self.look():
                    pass
                if was_down:
                    _log.info("ledger.back")
                was_down = False
            except LedgerUnavailable:
                if not was_down:
                    _log.warning("ledger.away")
                was_down = True
            self._wake.wait(self._pause_s)
            self._wake.clear()
        self._senders.shutdown(wait=True)

    def stop(self) -> None:
        """
        Let `run` return after the POSTs that are under way. Safe in a signal handler.

        It is noticed within `LOOK_EVERY_S`.
        """
        # no Event: a handler runs in the main thread, which may hold the lock inside of it
        self._is_stopping = True

    def look(self) -> bool:
        """
        Take due runs, and publish, submit or end each.

        Returns:
            Whether to look again at once, because more may be due.
        """
        self.looked_at = time.monotonic()
        if self.looked_at - self._seen_at > SEEN_EVERY_S:
            self._due.seen(self._name)
            self._seen_at = self.looked_at
        # a submission is taken only when a sender is free: here it would wait, there it may not
        free = sum(self._free.acquire(blocking=False) for _ in range(SENDERS))
        taken = 0
        try:
            may_go = self._may_go(free)
            due = self._due.take(
                senders=free, may_go=may_go, queued=_queued(), first_calls=FIRST_CALLS
            )
            for run in due:
                if run.step == "publish":
                    self._unpublished[run.key] = run
                else:
                    taken += 1
                    self._senders.submit(self._submit, run)
        finally:
            for _ in range(free - taken):
                self._free.release()
        self._publish()
        if len(due) > taken:
            self._published_at = self.looked_at
        # more may be due than senders or Genesys can take: the first to end looks again at once
        self._is_behind = taken >= may_go
        has_more = len(due) > taken or not self._is_behind
        return bool(due) and has_more and not self._is_stopping

    def _may_go(self, free: int) -> int:
        """How many submissions to take; if none may go, this also sets the next look."""
        is_publishing = self.looked_at - self._published_at < LOOK_EVERY_S
        self._pause_s = LOOK_SOON_S if is_publishing else LOOK_EVERY_S
        if time.monotonic() < self._held_until:
            return 0
        may_go, wait_s = self._client.available(free)
        if wait_s > 0:
            self._pause_s = min(wait_s, self._pause_s)
        return may_go

    def _publish(self) -> None:
        """Publish what is due; a broker that hangs costs one time limit a look."""
        while self._unpublished:
            run = next(iter(self._unpublished.values()))
            ids = {"run_id": run.run_id, "key": run.key, "trace_id": run.trace.trace_id}
            try:
                publish_fan_out(run.run_id, run.key, run.generation)
            except OperationalError as error:
                if not self._is_broker_down:
                    _log.warning("run.unpublished", **ids, reason=type(error).__name__)
                self._is_broker_down = True
                return
            self._is_broker_down = False
            del self._unpublished[run.key]
            _log.info("run.republished", **ids, generation=run.generation)

    def _submit(self, run: DueRun) -> None:
        started = time.monotonic()
        ids = {"run_id": run.run_id, "key": run.key}
        logs.begin(**ids, trace_id=run.trace.trace_id)
        try:
            if run.step == "expire":
                if reason := self._ledger.bury(run.key, run.generation, "expired"):
                    _log.error("run.dead", **ids, reason=reason)
                return
            how = submit_run(self._ledger, self._client, run.key, run.generation)
            if how == "without a token":
                self._held_until = time.monotonic() + HELD_S
            took_ms = round((time.monotonic() - started) * 1000)
            _log.info("run.reconciled", **ids, how=how, took_ms=took_ms)
        except LedgerUnavailable:
            _log.warning("run.left", **ids, reason="the ledger did not answer")
        except Exception as error:  # noqa: BLE001  the outermost loop of a thread: log it, go on
            _log.error("run.left", **ids, reason=type(error).__name__)
        finally:
            self._free.release()
            if self._is_behind:
                self._wake.set()


def _queued() -> dict[str, int] | None:
    """How many messages each queue holds; None while the broker is down."""
    try:
        return queue_lengths()
    except OperationalError:
        return None
