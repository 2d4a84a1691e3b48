"""One OAuth token for this process, renewed early and by one thread at a time."""

import base64
import threading
import time
from collections.abc import Callable

from genesys import http
from genesys.errors import Rejected, Unavailable

EARLY_S = 300.0
"""A token is renewed this long before it ends; of a short-lived one, a fifth of its life."""
TIMEOUT_S = 5.0
"""For the token request; half of what a submission has in all."""


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
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = 0.0

    def token(self) -> str:
        """
        A token that is good now; asks Genesys only when there is none or it ends soon.

        Raises:
            Unavailable: Genesys could not answer; try again.
            Rejected: The credentials are wrong; trying again does not help.
        """
        with self._lock:
            if self._token is None or self._now() >= self._renew_at:
                self._token, lifetime_s = self._request()
                self._renew_at = self._now() + lifetime_s - min(EARLY_S, lifetime_s / 5)
            return self._token

    def invalidate(self, token: str) -> None:
        """Forget exactly *token*, which was refused; a newer one is kept."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _request(self) -> tuple[str, float]:
        answer = http.post(self._url, self._form, self._headers, TIMEOUT_S)
        if answer.status == 200:
            token, lifetime = answer.body.get("access_token"), answer.body.get("expires_in")
            if _is_usable(token) and isinstance(lifetime, int | float) and lifetime > 0:
                return str(token), float(lifetime)
            raise Unavailable("the token endpoint answered 200 without a usable token", status=200)
        if answer.status == 429 or answer.status >= 500:
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
        if answer.status == 403 or answer.code == "invalid_scope":
            return f"OAuth scope mismatch. Ensure the application has {self._scope}."
        if answer.code == "unauthorized_client":
            return "OAuth grant refused. Ensure the application's grant is Client Credentials."
        if answer.status in (400, 401):
            return (
                "OAuth authentication failed. Verify client_id and client_secret. "
                "If both are right, the region is usually wrong (GENESYS_REGION)."
            )
        return f"The token endpoint answered {answer.status}. Verify GENESYS_LOGIN_URL."


def _is_usable(token: object) -> bool:
    """Whether *token* can stand in a header."""
    return isinstance(token, str) and token.isascii() and token.isprintable() and bool(token)
