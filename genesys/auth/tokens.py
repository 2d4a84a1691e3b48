"""The OAuth token: one for the fleet, renewed early, by one worker at a time."""

import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from genesys.auth.token_request import TIMEOUT_S, AccessToken, TokenRequest
from genesys.errors import GenesysError, GenesysUnavailable, Rejected, Untrusted
from genesys.store import Store, WriteRefused
from runtime import logs

RENEW_AGAIN_S = 30.0
"""Between attempts to renew a token that is still good, while the endpoint does not answer."""
REFUSED_S = 60.0
"""After wrong credentials no worker of the fleet sends a token request for this long."""
AGAIN_S = 1.0
"""Between the fleet's token requests while there is no token and Genesys names no Retry-After."""
LOCK_S = TIMEOUT_S + 2.0
"""How long one worker may take to request a token; longer than the request can take."""
KEEP_S = 1.0
"""A process uses the fleet's token this long without reading Redis: a busy worker reads it once a
second, and a token that another worker found refused is forgotten within a second."""
POLL_S = 0.05
"""Between two reads of a worker that waits for another's token."""

_log = logs.get("genesys")
_owners = itertools.count()


class Tokens(Protocol):
    """A source of tokens for any number of threads."""

    def token(self, timeout_s: float = TIMEOUT_S) -> str:
        """Return a token that is good now; raises GenesysUnavailable or Rejected."""

    def invalidate(self, token: str) -> None:
        """Discard exactly *token*, which was refused; a newer one is kept."""


@dataclass(frozen=True)
class _Token:
    """Times are of the source's own clock, in seconds."""

    text: str
    renew_at: float
    ends_at: float


class FleetTokens:
    """
    The fleet's one token, in Redis; this process' own while Redis cannot be reached.

    The token is in Redis in the clear until it ends: a reader of that Redis can submit as we do.
    """

    def __init__(self, store: Store, request: TokenRequest) -> None:
        self._store = store
        self._request = request
        self._keeping = threading.Lock()
        self._kept: tuple[str, float] | None = None  # text, and until when it is used
        self._refused = ""  # the last; another thread may still read it from Redis
        self._own = TokenSource(request)

    def token(self, timeout_s: float = TIMEOUT_S) -> str:
        """
        Return a token that is good now. While one worker renews it, the others use the old one;
        if there is none they wait for the new one.

        Raises:
            GenesysUnavailable: Genesys could not answer, or no token came in time; try again.
            Rejected: The credentials are wrong; requested once a minute by the whole fleet.
            Untrusted: No certificate that this process trusts; the others try for themselves.
        """
        began = time.monotonic()
        if (kept := self._kept) and began < kept[1]:
            return kept[0]
        deadline = began + timeout_s
        owner = f"{socket.gethostname()}:{os.getpid()}:{next(_owners)}"
        while True:
            try:
                found = self._store.run("token_take", _KEYS, owner=owner, lock_ms=_ms(LOCK_S))
            except WriteRefused as error:
                raise GenesysUnavailable(f"Redis takes no lock for a token ({error})") from error
            if found is None:
                return self._own.token(deadline - time.monotonic())
            match found:
                case ["good", str(token), int(renew_in_ms)]:
                    self._keep(token, began + min(renew_in_ms / 1000, KEEP_S))
                    return token
                case ["paused", str(why), int(left_ms)]:
                    raise _from_json(why, left_ms / 1000)
                case ["renew"] if renewed := self._renew(owner, deadline):
                    return renewed
                case ["wait"] if time.monotonic() + POLL_S < deadline:
                    time.sleep(POLL_S)
                case ["wait"]:
                    raise GenesysUnavailable("no token came in time")

    def invalidate(self, token: str) -> None:
        """Discard exactly *token*, which was refused; a newer one is kept."""
        with self._keeping:
            self._refused = token
            if self._kept and self._kept[0] == token:
                self._kept = None
        self._own.invalidate(token)
        # if Redis refuses, a token is requested again only when it takes the lock
        with suppress(WriteRefused):
            self._store.run("token_forget", ["token", "token:pause"], text=token)

    def _keep(self, token: str, until: float) -> None:
        with self._keeping:
            if token != self._refused:
                self._kept = token, until

    def _renew(self, owner: str, deadline: float) -> str | None:
        """Request a token for the fleet; None when none came, and the fleet pauses."""
        try:
            fresh = _send(self._request, deadline)
        except GenesysError as error:
            pause_s = REFUSED_S
            if isinstance(error, GenesysUnavailable):
                pause_s = min(max(error.retry_after_s or 0, AGAIN_S), REFUSED_S)
            elif isinstance(error, Untrusted):
                pause_s = AGAIN_S
            is_kept = self._put(
                "token_pause",
                owner=owner,
                why=_to_json(error),
                pause_ms=_ms(pause_s),
                good_pause_ms=_ms(max(pause_s, RENEW_AGAIN_S)),
            )
            # a wrong CA bundle is this machine's; after a short pause the others try themselves
            if not is_kept or isinstance(error, Untrusted):
                raise
            return None
        self._put(
            "token_put",
            owner=owner,
            text=fresh.text,
            renew_ms=max(_ms(fresh.renew_in_s), 0),
            life_ms=max(_ms(fresh.ends_in_s), 1),
        )
        return fresh.text

    def _put(self, script: str, **arguments: Any) -> bool:
        """Whether it was written; not without Redis, nor if another worker has the lock by now."""
        try:
            return bool(self._store.run(script, _KEYS, **arguments))
        except WriteRefused:
            return False


class TokenSource:
    """
    One token for this process, renewed by one thread at a time.

    Args:
        now: A monotonic clock, in seconds.
    """

    def __init__(self, request: TokenRequest, *, now: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._now = now
        self._renewing = threading.Lock()
        self._changing = threading.Lock()
        self._held: _Token | None = None

    def token(self, timeout_s: float = TIMEOUT_S) -> str:
        """
        Return a token that is good now; requests one only when there is none or it ends soon.

        While one thread renews a token, the others use the old one as long as it is good; so they
        do when Genesys cannot renew it.

        Args:
            timeout_s: For all of it, waiting for another thread's request included.

        Raises:
            GenesysUnavailable: Genesys could not answer; try again.
            Rejected: The credentials are wrong; trying again does not help.
        """
        deadline = time.monotonic() + timeout_s
        held = self._held
        if held and self._now() < held.renew_at:
            return held.text
        is_good = held is not None and self._now() < held.ends_at
        if not self._renewing.acquire(timeout=0 if is_good else max(timeout_s, 0)):
            if held and is_good:
                return held.text
            raise GenesysUnavailable("no token came in time")
        try:
            return self._renew(deadline).text
        finally:
            self._renewing.release()

    def invalidate(self, token: str) -> None:
        """Discard exactly *token*, which was refused; a newer one is kept."""
        with self._changing:
            if self._held and self._held.text == token:
                self._held = None

    def _renew(self, deadline: float) -> _Token:
        """Request a token, unless the thread that held the lock before just got one."""
        held = self._held
        if held and self._now() < held.renew_at:
            return held
        try:
            fresh = _send(self._request, deadline)
        except GenesysUnavailable:
            if held is None or self._now() >= held.ends_at:
                raise
            renewed = replace(held, renew_at=min(self._now() + RENEW_AGAIN_S, held.ends_at))
            with self._changing:
                if self._held is held:  # else another thread found it refused
                    self._held = renewed
                    return renewed
            raise
        now = self._now()
        renewed = _Token(fresh.text, now + fresh.renew_in_s, now + fresh.ends_in_s)
        with self._changing:
            self._held = renewed
        return renewed


def _send(request: TokenRequest, deadline: float) -> AccessToken:
    fresh = request.send(deadline - time.monotonic())
    # its length alone, in which a token that was cut shows
    _log.info("genesys.token", length=len(fresh.text), ends_in_s=round(fresh.ends_in_s))
    return fresh


def _to_json(error: GenesysError) -> str:
    """An error as Redis keeps it for the fleet; its message never holds a token or a secret."""
    kept = {
        "message": str(error),
        "status": error.status,
        "code": error.code,
        "correlation_id": error.correlation_id,
    }
    is_for_good = isinstance(error, Rejected) and not isinstance(error, Untrusted)
    return json.dumps({"is_for_good": is_for_good, "error": kept})


def _from_json(why: str, left_s: float) -> GenesysError:
    kept = json.loads(why)
    error = kept["error"]
    if kept["is_for_good"]:
        error["message"] += f" (No token is requested in the next {left_s:.0f} s.)"
        return Rejected(**error)
    return GenesysUnavailable(**error, retry_after_s=left_s)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


_KEYS = ("token", "token:lock", "token:pause")
