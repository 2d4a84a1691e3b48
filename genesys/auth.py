"""One OAuth token for this process, renewed early and by one thread at a time."""

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from genesys import http
from genesys.errors import Rejected, Unavailable

EARLY_S = 300.0
"""A token is renewed this long before it ends; of a short-lived one, a fifth of its life."""
TIMEOUT_S = 5.0
"""For the token request; half of what a submission has in all."""
RENEW_AGAIN_S = 30.0
"""Between tries to renew a token that is still good, when the endpoint does not answer."""
_LONGEST_S = 10**9
"""Above every lifetime that Genesys gives (172,800 s); what is longer is no lifetime."""


class Tokens(Protocol):
    """Where the client takes its tokens from; shared by any number of threads."""

    def token(self, timeout_s: float = TIMEOUT_S) -> str:
        """A token that is good now, within *timeout_s*; raises Unavailable or Rejected."""

    def invalidate(self, token: str) -> None:
        """Forget exactly *token*, which was refused; a newer one is kept."""


@dataclass(frozen=True)
class _Token:
    """Times are of the source's own clock, in seconds."""

    text: str
    renew_at: float
    ends_at: float


class TokenSource:
    """
    The current token of the client-credentials grant.

    Args:
        now: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        login_url: str,
        client_id: str,
        client_secret: str,
        scope: str,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{login_url}/oauth/token"
        pair = f"{client_id}:{client_secret}".encode()
        self._headers = {
            "Authorization": "Basic " + base64.b64encode(pair).decode(),
            "Accept": "application/json",
        }
        self._form = {"grant_type": "client_credentials", "scope": scope}
        self._scope = scope
        self._now = now
        self._renewing = threading.Lock()
        self._changing = threading.Lock()
        self._held: _Token | None = None

    def token(self, timeout_s: float = TIMEOUT_S) -> str:
        """
        A token that is good now; asks Genesys only when there is none or it ends soon.

        While one thread renews a token, the others go on with it as long as it is good; so they
        do when Genesys cannot renew it.

        Args:
            timeout_s: For all of it, waiting for another thread's request included.

        Raises:
            Unavailable: Genesys could not answer; try again.
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
            raise Unavailable("no token came in time")
        try:
            return self._renew(deadline).text
        finally:
            self._renewing.release()

    def invalidate(self, token: str) -> None:
        """Forget exactly *token*, which was refused; a newer one is kept."""
        with self._changing:
            if self._held and self._held.text == token:
                self._held = None

    def _renew(self, deadline: float) -> _Token:
        """Ask for a token, unless the thread before us just got one."""
        held = self._held
        if held and self._now() < held.renew_at:
            return held
        try:
            renewed = self._request(deadline - time.monotonic())
        except Unavailable:
            if held is None or self._now() >= held.ends_at:
                raise
            renewed = replace(held, renew_at=min(self._now() + RENEW_AGAIN_S, held.ends_at))
            with self._changing:
                if self._held is held:  # else it was refused meanwhile
                    self._held = renewed
                    return renewed
            raise
        with self._changing:
            self._held = renewed
        return renewed

    def _request(self, timeout_s: float) -> _Token:
        if timeout_s <= 0:
            raise Unavailable("no time was left to ask for a token")
        asked = self._now()
        answer = http.post(self._url, self._form, self._headers, min(timeout_s, TIMEOUT_S))
        if answer.status == 200:
            text, lifetime_s = _granted(answer)
            renew_at = asked + lifetime_s - min(EARLY_S, lifetime_s / 5)
            return _Token(text, renew_at, asked + lifetime_s)
        if answer.status in (408, 429) or answer.status >= 500:
            raise Unavailable(
                f"the token endpoint answered {answer.status}",
                status=answer.status,
                code=answer.code,
                correlation_id=answer.correlation_id,
                retry_after_s=answer.retry_after_s,
            )
        raise Rejected(
            self._advice(answer),
            status=answer.status,
            code=answer.code,
            correlation_id=answer.correlation_id,
        )

    def _advice(self, answer: http.Answer) -> str:
        scope = f"OAuth scope mismatch. Ensure the application has {self._scope}."
        if answer.code in ("unauthorized_client", "unsupported_grant_type"):
            return f"{scope} Its grant must be Client Credentials."
        if answer.status == 403 or answer.code == "invalid_scope":
            return scope
        if answer.status in (400, 401):
            return (
                "OAuth authentication failed. Verify client_id and client_secret. "
                "If both are right, the region is usually wrong (GENESYS_REGION)."
            )
        return f"The token endpoint answered {answer.status}. Verify GENESYS_LOGIN_URL."


def _granted(answer: http.Answer) -> tuple[str, float]:
    """The token and its lifetime in seconds, if both can be used."""
    token, lifetime = answer.body.get("access_token"), answer.body.get("expires_in")
    # it has to stand in a header
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise Unavailable("the token endpoint answered 200 without a usable token", status=200)
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float):
        lifetime = 0
    if not 0 < lifetime < _LONGEST_S:
        raise Unavailable(
            "the token endpoint answered 200 with an expires_in that is no lifetime", status=200
        )
    return token, float(lifetime)
