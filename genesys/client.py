"""Send a submission and say what its answer means. No other file knows a path or a status code."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from genesys import http
from genesys.auth import FleetTokens, Tokens, TokenSource
from genesys.errors import Rejected, Unavailable
from genesys.grant import TIMEOUT_S, Grant
from genesys.regions import endpoints
from genesys.store import Store
from genesys.types import ToolOutput
from runtime.settings import Settings, SettingsError

MAX_BODY_BYTES = 512_000
"""Genesys' limit for one request."""
POST_TIMEOUT_S = 10.0
"""For one POST, all of it."""

# What is worth another attempt; Genesys' own SDK retries 429, 502, 503 and 504.
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_ADVICE = {
    400: "Genesys did not understand the request. Verify GENESYS_SUBMIT_PATH and GENESYS_LIST_KEY.",
    401: "OAuth authentication failed. Verify client_id and client_secret.",
    403: "OAuth scope mismatch, or the run belongs to another organization. "
    "Ensure the application has the scope GENESYS_SCOPE names.",
    404: "Genesys knows no such run: it ended, or GENESYS_SUBMIT_PATH or the region is wrong.",
    409: "The run does not wait for these outputs: it ended, or was answered before.",
    413: "The outputs are too large together. Lower max_rows or max_bytes of the tools.",
    415: "Genesys does not take JSON at this path. Verify GENESYS_SUBMIT_PATH.",
    422: "Genesys does not take these outputs: each must be an object with tool_call_id and a "
    "string output, and each tool_call_id one that the run asked for.",
}
_ADVICE_BY_CODE = {
    "ip.not.authorized": "Genesys does not take requests from this network. "
    "Add its address to the organization's allowed ones.",
}
# printable ASCII without a space, "#" or "?"
_PATH = re.compile(r"/[!\"$->@-~]*")
_REDIRECTED = "Genesys answered with a redirect, which is not followed. Verify GENESYS_BASE_URL."


@dataclass(frozen=True)
class Receipt:
    """A 2xx: the submission has arrived."""

    status: int
    correlation_id: str | None
    took_ms: int


class Client:
    """
    Submissions to one organisation; for any number of threads.

    Args:
        submit_url: With `{run_id}` once, where the percent-encoded run id goes.

        list_key: The name of the list in the body.
    """

    def __init__(self, submit_url: str, tokens: Tokens, *, list_key: str) -> None:
        self._submit_url = submit_url
        self._tokens = tokens
        self._list_key = list_key

    def encode(self, outputs: Sequence[ToolOutput]) -> bytes:
        """The body of a submission; the same outputs always give the same bytes."""
        return json.dumps({self._list_key: outputs}, separators=(",", ":")).encode("ascii")

    def room(self, call_ids: Sequence[str]) -> int:
        """Bytes that the outputs of these calls may take as JSON strings in one submission."""
        empty = [ToolOutput(tool_call_id=call_id, output="") for call_id in call_ids]
        return MAX_BODY_BYTES - len(self.encode(empty))

    def post(
        self,
        run_id: str,
        body: bytes,
        *,
        idempotency_key: str,
        timeout_s: float = POST_TIMEOUT_S,
    ) -> Receipt:
        """
        Send *body* once; again only with a fresh token, once, when the token was refused.

        Args:
            idempotency_key: The same for every attempt with the same bytes.

            timeout_s: For all of it, the token included.

        Raises:
            Unavailable: Worth another attempt, with the same bytes.
            Rejected: Refused for good; the message says what to mend.
        """
        if len(body) > MAX_BODY_BYTES:
            raise Rejected(f"{_ADVICE[413]} ({len(body)} bytes; {MAX_BODY_BYTES} are taken)")
        url = self._submit_url.replace("{run_id}", _path_segment(run_id))
        started = time.monotonic()
        deadline = started + timeout_s
        token = self._token(deadline)
        answer = _send(url, body, idempotency_key, token, deadline)
        if answer.status == 401 and answer.code != "ip.not.authorized":
            self._tokens.invalidate(token)
            answer = _send(url, body, idempotency_key, self._token(deadline), deadline)
        if 200 <= answer.status < 300:
            took_ms = round((time.monotonic() - started) * 1000)
            return Receipt(answer.status, answer.correlation_id, took_ms)
        raise _error(answer)

    def _token(self, deadline: float) -> str:
        return self._tokens.token(min(TIMEOUT_S, deadline - time.monotonic()))


def from_settings(settings: Settings) -> Client:
    """
    The client that the settings describe; nothing is sent yet.

    Raises:
        SettingsError: All that is missing or wrong, one a line.
    """
    mistakes = []
    where = None
    try:
        where = endpoints(
            settings.genesys_region,
            settings.genesys_base_url,
            settings.genesys_login_url,
            allow_http=settings.genesys_allow_http,
        )
    except ValueError as error:
        mistakes.extend(str(error).splitlines())
    secret = settings.genesys_client_secret
    if not settings.genesys_client_id:
        mistakes.append("GENESYS_CLIENT_ID: is not set (or GENESYS_CLIENT_ID_FILE)")
    if not secret:
        mistakes.append("GENESYS_CLIENT_SECRET: is not set (or GENESYS_CLIENT_SECRET_FILE)")
    sent = {
        "GENESYS_CLIENT_ID": settings.genesys_client_id or "",
        "GENESYS_CLIENT_SECRET": secret.get_secret_value() if secret else "",
        "GENESYS_SCOPE": settings.genesys_scope,
    }
    mistakes += [
        f"{name}: holds a line break or another character that cannot be sent"
        for name, text in sent.items()
        if not text.isprintable()
    ]
    path = settings.genesys_submit_path
    if not _PATH.fullmatch(path) or path.count("{run_id}") != 1:
        mistakes.append(
            "GENESYS_SUBMIT_PATH: must start with / and hold {run_id} once; no query, no spaces"
        )
    if not settings.genesys_list_key.isidentifier():
        mistakes.append("GENESYS_LIST_KEY: must be a name such as tool_calls or tool_outputs")
    if mistakes or where is None or not settings.genesys_client_id or secret is None:
        raise SettingsError("\n".join(mistakes))
    client_id, scope = settings.genesys_client_id, settings.genesys_scope
    grant = Grant(where.login, client_id, secret.get_secret_value(), scope)
    tokens: Tokens = TokenSource(grant)
    if settings.broker():
        tokens = FleetTokens(Store(settings.broker(), [where.login, client_id, scope]), grant)
    return Client(where.api + path, tokens, list_key=settings.genesys_list_key)


def _send(url: str, body: bytes, idempotency_key: str, token: str, deadline: float) -> http.Answer:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise Unavailable("no time was left after asking for a token")
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Idempotency-Key": idempotency_key,
    }
    return http.post(url, body, headers, left_s)


def _path_segment(run_id: str) -> str:
    try:
        segment = quote(run_id, safe="")
    except UnicodeEncodeError:  # a lone surrogate
        segment = ""
    if not segment:
        raise Rejected("the run id is empty or no Unicode text; no path can name this run")
    # dots need no encoding, but a segment of dots alone would climb the path
    return segment.replace(".", "%2E") if run_id in (".", "..") else segment


def _error(answer: http.Answer) -> Unavailable | Rejected:
    said = f" Genesys said: {answer.message}" if answer.message else ""
    if answer.status in _TRY_AGAIN or answer.status > 504:
        return Unavailable(
            f"Genesys answered {answer.status}.{said}",
            status=answer.status,
            code=answer.code,
            correlation_id=answer.correlation_id,
            retry_after_s=answer.retry_after_s,
        )
    return Rejected(
        _advice(answer) + said,
        status=answer.status,
        code=answer.code,
        correlation_id=answer.correlation_id,
    )


def _advice(answer: http.Answer) -> str:
    if 300 <= answer.status < 400:
        return _REDIRECTED
    by_status = _ADVICE.get(answer.status, f"Genesys answered {answer.status}.")
    return _ADVICE_BY_CODE.get(answer.code or "", by_status)
