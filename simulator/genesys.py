"""State and decisions of the simulated Genesys; no HTTP in here, and one lock around it all."""

import hashlib
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from simulator.replies import Reply, error, oauth_error, too_many
from simulator.validation import LIMITS, Fault, check_faults, check_limits, loads, shape_error

KEPT = 200_000
"""Newest submissions, and newest entries of each record by run, that are kept."""
MAX_BODY_BYTES = 512_000
"""Genesys' limit for one request."""

_WINDOW_S = 60.0


@dataclass
class Token:
    """An issued token: when it ends, and the times of its use in the last minute."""

    ends_at: float
    used: deque[float] = field(default_factory=deque)


@dataclass
class State:
    """
    Everything that `DELETE /_sim/state` forgets.

    `runs` has the call ids of each run that was delivered from here, `accepted` the digest of the
    first accepted body of each (run, Idempotency-Key). No `requests_per_minute` means no limit.
    """

    submissions: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    tokens: dict[str, Token] = field(default_factory=dict)
    token_requests: int = 0
    token_requests_now: int = 0
    most_token_requests_at_once: int = 0
    faults: dict[str, deque[Fault]] = field(
        default_factory=lambda: {"submit": deque(), "token": deque()}
    )
    requests_per_minute: int = 0
    token_lifetime_s: float = 3600
    runs: dict[str, list[str]] = field(default_factory=dict)
    accepted: dict[tuple[str, str], str] = field(default_factory=dict)


class Genesys:
    """The rules of the endpoint, from genesys.md, and the faults that a test injects."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._credentials = (client_id, client_secret)
        self._lock = threading.Lock()
        self.state = State()
        self.forgotten = threading.Event()

    def forget(self) -> None:
        """Start anew; requests that hang let go."""
        with self._lock:
            self.state = State()
            forgotten, self.forgotten = self.forgotten, threading.Event()
        forgotten.set()

    def inject(self, faults: Any) -> dict[str, int]:
        """
        Set the faults of each endpoint named, in place of its old ones.

        Returns:
            How many wait for each endpoint.

        Raises:
            BadOrder: Nothing is changed.
        """
        check_faults(faults)
        with self._lock:
            self.state.faults.update({name: deque(entries) for name, entries in faults.items()})
            return {name: len(entries) for name, entries in self.state.faults.items()}

    def limit(self, limits: Any) -> dict[str, float]:
        """
        Set the limits named.

        Returns:
            All of them.

        Raises:
            BadOrder: Nothing is changed.
        """
        check_limits(limits)
        with self._lock:
            for name, value in limits.items():
                setattr(self.state, name, value)
            return {name: getattr(self.state, name) for name in LIMITS}

    def next_fault(self, endpoint: str) -> dict[str, Any] | None:
        """The fault that this request runs into, if any; a plain status 200 is none."""
        with self._lock:
            waiting = self.state.faults[endpoint]
            fault = waiting.popleft() if waiting else None
        if fault is None or fault in (200, {"status": 200}):
            return None
        if isinstance(fault, int):
            return {"status": fault}
        return {"kind": fault} if isinstance(fault, str) else fault

    def expect(self, delivery: Any) -> None:
        """Remember a run that is delivered, so that its submission can be judged."""
        if not isinstance(delivery, dict):
            return
        run_id, calls = delivery.get("run_id"), delivery.get("tool_calls")
        if isinstance(run_id, str) and isinstance(calls, list):
            ids = [c["id"] for c in calls if isinstance(c, dict) and isinstance(c.get("id"), str)]
            with self._lock:
                _keep(self.state.runs, run_id, ids)

    @contextmanager
    def token_request(self) -> Iterator[None]:
        """Count a token request, and how many are under way at once."""
        with self._lock:
            state = self.state
            state.token_requests += 1
            state.token_requests_now += 1
            most = max(state.most_token_requests_at_once, state.token_requests_now)
            state.most_token_requests_at_once = most
        try:
            yield
        finally:
            with self._lock:
                state.token_requests_now -= 1

    def grant(self, client_id: str, client_secret: str, grant_type: str) -> Reply:
        """Answer a token request."""
        with self._lock:
            if grant_type != "client_credentials":
                return oauth_error("unauthorized_client", "grant type not allowed")
            if (client_id, client_secret) != self._credentials:
                return oauth_error("invalid_client", "authentication failed")
            token = secrets.token_urlsafe(32)
            lifetime = self.state.token_lifetime_s
            _keep(self.state.tokens, token, Token(time.monotonic() + lifetime))
        body = {"access_token": token, "token_type": "bearer", "expires_in": lifetime}
        return Reply(200, body)

    def judge(self, run_id: str, token: str, key: str, raw: bytes) -> tuple[Reply, bool]:
        """
        Answer a submission by the rules: token, rate, size, shape, the run's own calls.

        Returns:
            The answer, and whether it is the same as before: an accepted Idempotency-Key of this
            run with the same bytes. With other bytes it is a 409.
        """
        with self._lock:
            refusal = self._token_error(token) or self._rate_error(token)
            if refusal:
                return refusal, False
            return self._take(run_id, key, raw)

    def record(
        self,
        run_id: str,
        raw: bytes,
        headers: dict[str, str],
        status: int | None,
        *,
        at: float,
        is_duplicate: bool = False,
    ) -> None:
        """
        Write an attempt down.

        Args:
            status: What is answered; None when nothing is.

            at: When it arrived, in seconds since the epoch.
        """
        entry = {
            "run_id": run_id,
            "at": at,
            "status": status,
            "duplicate": is_duplicate,
            "body": loads(raw),
            "sha256": hashlib.sha256(raw).hexdigest(),
            "headers": {k: "…" if k.lower() == "authorization" else v for k, v in headers.items()},
        }
        with self._lock:
            self.state.submissions.append(entry)

    def submissions(self, run_id: str | None) -> list[dict[str, Any]]:
        """Every attempt, oldest first, or those of one run."""
        with self._lock:
            return [e for e in self.state.submissions if run_id is None or e["run_id"] == run_id]

    def _token_error(self, token: str) -> Reply | None:
        if not token:
            return error(401, "authentication.required", "No authentication bearer token given.")
        given = self.state.tokens.get(token)
        if given is None:
            return error(401, "bad.credentials", "Invalid login credentials.")
        if time.monotonic() >= given.ends_at:
            return error(401, "credentials.expired", "The supplied credentials have expired.")
        return None

    def _rate_error(self, token: str) -> Reply | None:
        allowed = self.state.requests_per_minute
        now = time.monotonic()
        used = self.state.tokens[token].used
        while used and used[0] <= now - _WINDOW_S:
            used.popleft()
        if allowed and len(used) >= allowed:
            return too_many(max(1, math.ceil(used[0] + _WINDOW_S - now)))
        used.append(now)
        return None

    def _take(self, run_id: str, key: str, raw: bytes) -> tuple[Reply, bool]:
        if len(raw) > MAX_BODY_BYTES:
            return error(413, "request.entity.too.large", "The request body is too large."), False
        digest = hashlib.sha256(raw).hexdigest()
        before = self.state.accepted.get((run_id, key)) if key else None
        if before is not None and before != digest:
            message = "The Idempotency-Key was used with another body."
            return error(409, "conflict", message), False
        body = loads(raw)
        if body is None:
            return error(400, "bad.request", "The request could not be understood."), False
        wrong = shape_error(body, self.state.runs.get(run_id))
        if wrong:
            return error(422, "payload.or.params.invalid", wrong), False
        if key:
            _keep(self.state.accepted, (run_id, key), digest)
        return Reply(200, {"run_id": run_id, "status": "in_progress"}), before is not None


def _keep(entries: dict[Any, Any], name: Any, value: Any) -> None:
    """Set an entry; the oldest goes when there are too many."""
    entries[name] = value
    if len(entries) > KEPT:
        del entries[next(iter(entries))]
