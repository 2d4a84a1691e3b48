"""Request a token from Genesys: OAuth client credentials, and what each answer means."""

import time
from dataclasses import dataclass, field

from requests.auth import HTTPBasicAuth

from genesys.answer import Answer
from genesys.errors import GenesysError, GenesysUnavailable, Rejected
from genesys.http import HttpClient
from runtime import metrics

EARLY_S = 300.0
"""A token is renewed this long before it ends; of a short-lived one, a fifth of its life."""
TIMEOUT_S = 5.0
"""For the token request; half of what a submission has in all."""
_LONGEST_S = 10**9
"""Genesys gives 172,800 s at most; an expires_in above this is no lifetime."""


@dataclass(frozen=True)
class AccessToken:
    """A new token; both times are seconds from now on. Its text never shows."""

    text: str = field(repr=False)
    renew_in_s: float
    ends_in_s: float


class TokenRequest:
    """
    The token request of one OAuth client; any thread may send it. Never shows the secret.

    Args:
        login_url: Without a trailing slash.

        http: The way to the login server; by default a direct one.
    """

    def __init__(
        self,
        login_url: str,
        client_id: str,
        client_secret: str,
        scope: str,
        *,
        http: HttpClient | None = None,
    ) -> None:
        self._url = f"{login_url}/oauth/token"
        # as bytes: requests would encode a text as Latin-1
        self._auth = HTTPBasicAuth(client_id.encode(), client_secret.encode())
        self._http = http or HttpClient()
        self._form = {"grant_type": "client_credentials", "scope": scope}
        self._scope = scope

    def send(self, timeout_s: float) -> AccessToken:
        """
        Send the request once.

        Args:
            timeout_s: For all of it; `TIMEOUT_S` at most.

        Raises:
            GenesysUnavailable: Genesys could not answer; try again.
            Rejected: The credentials are wrong; trying again does not help.
        """
        try:
            token = self._send(timeout_s)
        except GenesysError as error:
            is_refused = isinstance(error, Rejected)
            metrics.count("token_refreshes", outcome="rejected" if is_refused else "unavailable")
            raise
        metrics.count("token_refreshes", outcome="granted")
        return token

    def _send(self, timeout_s: float) -> AccessToken:
        if timeout_s <= 0:
            raise GenesysUnavailable("no time was left to request a token")
        began = time.monotonic()
        answer = self._http.post(
            self._url, self._form, {}, min(timeout_s, TIMEOUT_S), auth=self._auth
        )
        if answer.status == 200:
            text, lifetime_s = _token(answer)
            # from the sending of the request: Genesys may have made it at once
            left_s = lifetime_s - (time.monotonic() - began)
            return AccessToken(text, left_s - min(EARLY_S, lifetime_s / 5), left_s)
        if answer.status in (408, 429) or answer.status >= 500:
            raise GenesysUnavailable(
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

    def _advice(self, answer: Answer) -> str:
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


def _token(answer: Answer) -> tuple[str, float]:
    """The token and its lifetime in seconds, if both can be used."""
    token, lifetime = answer.body.get("access_token"), answer.body.get("expires_in")
    # it has to stand in a header
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise GenesysUnavailable(
            "the token endpoint answered 200 without a usable token", status=200
        )
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float):
        lifetime = 0
    if not 0 < lifetime < _LONGEST_S:
        raise GenesysUnavailable(
            "the token endpoint answered 200 with an expires_in that is no lifetime", status=200
        )
    return token, float(lifetime)
