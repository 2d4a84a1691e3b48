"""Send a submission when one may go, and say how it ended. No other file knows a path."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from genesys import http
from genesys.auth import FleetTokens, Tokens, TokenSource
from genesys.errors import Held, Rejected, Unavailable
from genesys.grant import TIMEOUT_S, Grant
from genesys.pacing import Gate
from genesys.regions import endpoints
from genesys.rules import NO_ANSWER, RULES, Rule, rule_for
from genesys.standing import Standing
from genesys.store import Store
from genesys.types import ToolOutput
from runtime import metrics
from runtime.settings import Settings, SettingsError

MAX_BODY_BYTES = 512_000
"""Genesys' limit for one request."""
POST_TIMEOUT_S = 10.0
"""For one POST, all of it."""

_HELD = {
    "rate": "GENESYS_REQUESTS_PER_MINUTE are used up for now",
    "throttled": "Genesys answered 429; nothing is sent until its Retry-After is over",
    "circuit": "Genesys is down; one POST at a time finds out whether it is back",
}
# printable ASCII without a space, "#" or "?"
_PATH = re.compile(r"/[!\"$->@-~]*")


@dataclass(frozen=True)
class Receipt:
    """A 2xx: the submission has arrived."""

    status: int
    correlation_id: str | None
    took_ms: int


@dataclass(frozen=True)
class Permit:
    """The right to send one POST now, with the token for it; None was refused for good."""

    token: str | None = field(repr=False)
    is_watched: bool = False


class Client:
    """
    Submissions to one organisation; for any number of threads.

    Args:
        submit_url: With `{run_id}` once, where the percent-encoded run id goes.

        list_key: The name of the list in the body.

        gate: The fleet's; without one, every POST may go at once.
    """

    def __init__(
        self, submit_url: str, tokens: Tokens, *, list_key: str, gate: Gate | None = None
    ) -> None:
        self._submit_url = submit_url
        self._tokens = tokens
        self._list_key = list_key
        self._gate = gate

    def encode(self, outputs: Sequence[ToolOutput]) -> bytes:
        """The body of a submission; the same outputs always give the same bytes."""
        body = json.dumps({self._list_key: outputs}, separators=(",", ":"), ensure_ascii=False)
        return body.encode("utf-8", "replace")  # half a surrogate pair is no UTF-8

    def room(self, call_ids: Sequence[str]) -> int:
        """Bytes that the outputs of these calls may take as JSON strings in one submission."""
        empty = [ToolOutput(tool_call_id=call_id, output="") for call_id in call_ids]
        return MAX_BODY_BYTES - len(self.encode(empty))

    def permit(self) -> Permit:
        """
        Take the right to send one POST now; `post` uses it up, `give_back` returns it.

        Raises:
            Held: None may go now, or there is no token for now. Nothing was sent.
        """
        try:
            token = self._tokens.token()
        except Unavailable as error:
            why = f"there is no token: {error}"
            raise Held(why, is_for_token=True) from error
        except Rejected:
            return Permit(None)  # `post` is told the same, and there it ends the run
        if self._gate is None:
            return Permit(token)
        turn = self._gate.ask()
        if turn.wait_s > 0:
            raise Held(_HELD[turn.why])
        return Permit(token, is_watched=turn.is_watched)

    def give_back(self, permit: Permit) -> None:
        """Do without a permit that was not used."""
        if self._gate is not None and permit.token is not None:
            self._gate.give_back()

    def may_go(self, most: int) -> tuple[int, float]:
        """
        How many of *most* POSTs could go now, and if none, after how many seconds one may.

        The permits may turn out fewer.
        """
        return (most, 0.0) if self._gate is None else self._gate.room(most)

    def standing(self) -> Standing | None:
        """What keeps POSTs from going out, for people; None when it is not known."""
        return None if self._gate is None else self._gate.standing()

    def post(
        self,
        run_id: str,
        body: bytes,
        *,
        idempotency_key: str,
        permit: Permit | None = None,
        timeout_s: float = POST_TIMEOUT_S,
    ) -> Receipt:
        """
        Send *body* once; again only with a fresh token, once, when the token was refused.

        Args:
            idempotency_key: The same for every attempt with the same bytes.

            permit: Without one the gate is not asked, but learns how the POST ended.

            timeout_s: For all of it, the token included.

        Raises:
            Unavailable: Worth another attempt, with the same bytes.
            Rejected: Refused for good; the message says what to mend.
        """
        if len(body) > MAX_BODY_BYTES:
            raise Rejected(f"{RULES[413].advice} ({len(body)} bytes; {MAX_BODY_BYTES} are taken)")
        url = self._submit_url.replace("{run_id}", _path_segment(run_id))
        started = time.monotonic()
        deadline = started + timeout_s
        permit = permit or Permit(None, is_watched=True)
        token = permit.token or self._token(deadline)
        answer = self._send(url, body, idempotency_key, Permit(token, permit.is_watched), deadline)
        if answer.status == 401 and answer.code != "ip.not.authorized":
            self._tokens.invalidate(token)
            again = Permit(self._token(deadline), permit.is_watched)
            self._count_one_more(answer)
            answer = self._send(url, body, idempotency_key, again, deadline)
        if 200 <= answer.status < 300:
            took_ms = round((time.monotonic() - started) * 1000)
            return Receipt(answer.status, answer.correlation_id, took_ms)
        raise _error(answer)

    def _token(self, deadline: float) -> str:
        return self._tokens.token(min(TIMEOUT_S, deadline - time.monotonic()))

    def _count_one_more(self, refused: http.Answer) -> None:
        """Ask the gate for the POST that follows a refused token."""
        turn = self._gate.ask() if self._gate else None
        if turn and turn.wait_s > 0:
            raise Unavailable(
                "the token was refused, and no POST with a fresh one may go now",
                status=refused.status,
                code=refused.code,
                correlation_id=refused.correlation_id,
                retry_after_s=turn.wait_s,
            )

    def _send(
        self, url: str, body: bytes, idempotency_key: str, permit: Permit, deadline: float
    ) -> http.Answer:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Unavailable("no time was left after asking for a token")
        headers = {
            "Authorization": f"Bearer {permit.token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": idempotency_key,
        }
        try:
            answer = http.post(url, body, headers, left_s)
        except Unavailable:
            metrics.count("submissions", status="none")
            self._tell(NO_ANSWER, permit, None)
            raise
        metrics.count("submissions", status=str(answer.status))
        is_good = 200 <= answer.status < 300
        rule = Rule(is_passing=False) if is_good else rule_for(answer.status, answer.code)
        self._tell(rule, permit, answer.retry_after_s)
        return answer

    def _tell(self, rule: Rule, permit: Permit, retry_after_s: float | None) -> None:
        """Let the gate learn how a POST ended; mostly it need not know."""
        if self._gate is None:
            return
        if rule.tells == "down":
            self._gate.is_down()
        elif rule.tells == "throttled":
            self._gate.is_throttled(retry_after_s)
        elif permit.is_watched:
            self._gate.is_there()


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
        "GENESYS_CLIENT_SECRET": secret.reveal() if secret else "",
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
    grant = Grant(where.login, client_id, secret.reveal(), scope)
    tokens: Tokens = TokenSource(grant)
    gate = None
    if settings.broker():
        store = Store(settings.broker(), [where.login, client_id, scope])
        tokens = FleetTokens(store, grant)
        gate = Gate(store, requests_per_minute=settings.genesys_requests_per_minute)
    return Client(where.api + path, tokens, list_key=settings.genesys_list_key, gate=gate)


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
    rule = rule_for(answer.status, answer.code)
    said = f" Genesys said: {answer.message}" if answer.message else ""
    if rule.is_passing:
        return Unavailable(
            f"Genesys answered {answer.status}.{said}",
            status=answer.status,
            code=answer.code,
            correlation_id=answer.correlation_id,
            retry_after_s=answer.retry_after_s,
            most_attempts=rule.most_attempts,
        )
    return Rejected(
        rule.advice + said,
        status=answer.status,
        code=answer.code,
        correlation_id=answer.correlation_id,
    )
