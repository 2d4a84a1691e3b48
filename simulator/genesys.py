"""What the simulated Genesys knows and decides; no HTTP in here, and one lock around it all."""

import hashlib
import json
import secrets
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

KEPT_SUBMISSIONS = 200_000
_WINDOW_S = 60.0

Fault = int | str | dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """A status and a JSON body, perhaps with a Retry-After in seconds."""

    status: int
    body: dict[str, Any]
    retry_after_s: int | None = None


@dataclass
class State:
    """
    Everything that `DELETE /_sim/state` forgets.

    `runs` has the call ids of each run that was delivered from here, `accepted` the first
    accepted body of each (run, Idempotency-Key).
    """

    submissions: deque[dict[str, Any]] = field(
        default_factory=lambda: deque(maxlen=KEPT_SUBMISSIONS)
    )
    tokens: dict[str, float] = field(default_factory=dict)
    token_requests: int = 0
    used: dict[str, deque[float]] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: {"submit": [], "token": []})
    requests_per_minute: int = 0
    token_lifetime_s: float = 3600.0
    runs: dict[str, list[str]] = field(default_factory=dict)
    accepted: dict[tuple[str, str], str] = field(default_factory=dict)


class Genesys:
    """The rules of the endpoint, from genesys.md, and the faults that a test asks for."""

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

    def configure(self, *, faults: dict[str, Any] | None = None, **limits: float) -> None:
        """Set faults by endpoint, each list in place of the old one, or limits."""
        with self._lock:
            for endpoint, entries in (faults or {}).items():
                self.state.faults[endpoint] = list(entries)
            for name, value in limits.items():
                setattr(self.state, name, value)

    def next_fault(self, endpoint: str) -> dict[str, Any] | None:
        """The fault that this request runs into, if any; a plain status 200 is none."""
        with self._lock:
            waiting = self.state.faults[endpoint]
            fault = waiting.pop(0) if waiting else None
        if fault is None or fault == 200:
            return None
        if isinstance(fault, int):
            return {"status": fault}
        return {"kind": fault} if isinstance(fault, str) else fault

    def expect(self, delivery: dict[str, Any]) -> None:
        """Remember a run that is delivered, so that its submission can be judged."""
        calls = delivery.get("tool_calls")
        if isinstance(delivery.get("run_id"), str) and isinstance(calls, list):
            ids = [c["id"] for c in calls if isinstance(c, dict) and isinstance(c.get("id"), str)]
            with self._lock:
                self.state.runs[delivery["run_id"]] = ids

    def grant(self, client_id: str, client_secret: str, grant_type: str) -> Reply:
        """Answer a token request."""
        with self._lock:
            self.state.token_requests += 1
            if grant_type != "client_credentials":
                return _oauth_error("unauthorized_client", "grant type not allowed")
            if (client_id, client_secret) != self._credentials:
                return _oauth_error("invalid_client", "authentication failed")
            token = secrets.token_urlsafe(32)
            self.state.tokens[token] = time.monotonic() + self.state.token_lifetime_s
            lifetime = self.state.token_lifetime_s
        body = {"access_token": token, "token_type": "bearer", "expires_in": lifetime}
        return Reply(200, body)

    def judge(self, run_id: str, token: str, key: str, raw: bytes) -> Reply:
        """Answer a submission by the rules: token, rate, shape, the run's own calls."""
        with self._lock:
            return (
                self._token_error(token) or self._rate_error(token) or self._take(run_id, key, raw)
            )

    def record(
        self, run_id: str, raw: bytes, headers: dict[str, str], status: int | None, *, at: float
    ) -> None:
        """Write an attempt down; *status* is None when it was never answered."""
        entry = {
            "run_id": run_id,
            "at": at,
            "status": status,
            "body": _loads(raw),
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
        ends = self.state.tokens.get(token)
        if ends is None:
            return error(401, "bad.credentials", "Invalid login credentials.")
        if time.monotonic() >= ends:
            return error(401, "credentials.expired", "The supplied credentials have expired.")
        return None

    def _rate_error(self, token: str) -> Reply | None:
        allowed = self.state.requests_per_minute
        now = time.monotonic()
        used = self.state.used.setdefault(token, deque())
        while used and used[0] <= now - _WINDOW_S:
            used.popleft()
        if allowed and len(used) >= allowed:
            return too_many(max(1, round(used[0] + _WINDOW_S - now + 0.5)))
        used.append(now)
        return None

    def _take(self, run_id: str, key: str, raw: bytes) -> Reply:
        before = self.state.accepted.get((run_id, key)) if key else None
        digest = hashlib.sha256(raw).hexdigest()
        if before is not None and before != digest:
            return error(409, "conflict", "The Idempotency-Key was used with another body.")
        wrong = _shape_error(_loads(raw), self.state.runs.get(run_id))
        if wrong:
            return error(422, "payload.or.params.invalid", wrong)
        self.state.accepted[run_id, key] = digest
        return Reply(200, {"run_id": run_id, "status": "in_progress"})


def error(status: int, code: str, message: str) -> Reply:
    """An error in Genesys' own form."""
    body = {"message": message, "code": code, "status": status, "contextId": str(uuid.uuid4())}
    return Reply(status, {**body, "details": [], "errors": []})


def too_many(retry_after_s: int) -> Reply:
    """The normalised 429."""
    sentence = f"Rate limit exceeded the maximum. Retry the request in [{retry_after_s}] seconds"
    body = error(429, "too.many.requests.retry.after", sentence).body
    return Reply(429, body, retry_after_s)


def _oauth_error(code: str, said: str) -> Reply:
    return Reply(400, {"error": code, "description": said, "error_description": said})


def _shape_error(body: Any, expected: list[str] | None) -> str | None:
    """What is wrong with a submission, judged strictly when the run was delivered from here."""
    outputs = next(
        (body[k] for k in ("tool_calls", "tool_outputs") if isinstance(body, dict) and k in body),
        None,
    )
    if not isinstance(outputs, list):
        return "tool_calls must be an array."
    for output in outputs:
        if not isinstance(output, dict) or not isinstance(output.get("tool_call_id"), str):
            return "Each entry must be an object with a tool_call_id."
        if not isinstance(output.get("output"), str):
            return f"The output of {output['tool_call_id']} must be a string."
    ids = [output["tool_call_id"] for output in outputs]
    if expected is not None and sorted(ids) != sorted(expected):
        return f"Expected tool outputs for call_ids {expected}, got {ids}"
    return None


def _loads(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
