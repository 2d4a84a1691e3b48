"""Client for submissions to Genesys: permits, one POST each, and what its answer means."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genesys.answer import Answer
from genesys.auth.token_request import TIMEOUT_S, TokenRequest
from genesys.auth.tokens import FleetTokens, Tokens, TokenSource
from genesys.errors import GenesysUnavailable, Held, Rejected
from genesys.http import BearerToken, HttpClient
from genesys.pacing import rate_limiter
from genesys.pacing.rate_limiter import RateLimiter
from genesys.pacing.status import GenesysStatus
from genesys.route import path_segment, route
from genesys.rules import NO_ANSWER, RULES, Rule, error_for, retry_delay_s, rule_for
from genesys.types import ToolOutput
from runtime import logs, metrics
from runtime.settings import Settings

MAX_BODY_BYTES = 512_000
"""Genesys' limit for one request."""
POST_TIMEOUT_S = 10.0
"""Total time of one POST, from connecting to the last byte of the response."""

_log = logs.get("genesys")
_HELD = {
    "rate": "GENESYS_REQUESTS_PER_MINUTE are used up for now",
    "throttled": "Genesys answered 429; nothing is sent until its Retry-After is over",
    "circuit": "Genesys is down; one POST at a time probes whether it is back",
    "unkept": "Redis refuses to keep the rate limit; nothing is sent until it does",
}


@dataclass(frozen=True)
class Receipt:
    """A 2xx: the submission arrived."""

    status: int
    correlation_id: str | None
    took_ms: int
    rate_limit_remaining: int | None = None


@dataclass(frozen=True)
class Permit:
    """The right to send one POST now, with its token; or the error that `post` will raise."""

    token: str | None = field(repr=False)
    is_watched: bool = False
    refused: Rejected | None = None


class Client:
    """
    Submissions to one organisation; for any number of threads.

    Args:
        submit_url: With `{run_id}` once, where the percent-encoded run id goes.

        list_key: The name of the list in the body.

        rate_limiter: The fleet's; without one, every POST may go at once.

        http: The way to Genesys; by default a direct one.

        max_attempts: POSTs of one run, whatever their answers; None means until it expires.

        retry_base_s: Before the first retry from the ledger; doubled with each.
    """

    def __init__(
        self,
        submit_url: str,
        tokens: Tokens,
        *,
        list_key: str,
        rate_limiter: RateLimiter | None = None,
        http: HttpClient | None = None,
        max_attempts: int | None = None,
        retry_base_s: float = 1.0,
    ) -> None:
        self._submit_url = submit_url
        self._tokens = tokens
        self._list_key = list_key
        self._rate_limiter = rate_limiter
        self._http = http or HttpClient()
        self._max_attempts = max_attempts
        self._retry_base_s = retry_base_s

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
        Take the right to send one POST now; `post` uses it, `give_back` returns it.

        Raises:
            Held: No POST may go now, or there is no token for now. Nothing was sent.
        """
        try:
            token = self._tokens.token()
        except GenesysUnavailable as error:
            why = f"there is no token: {error}"
            raise Held(why, is_for_token=True) from error
        except Rejected as error:
            return Permit(None, refused=error)  # raised by `post`, where it ends the run
        if self._rate_limiter is None:
            return Permit(token)
        slot = self._rate_limiter.acquire()
        if slot.wait_s > 0:
            raise Held(_HELD[slot.why])
        return Permit(token, is_watched=slot.is_watched)

    def give_back(self, permit: Permit) -> None:
        """Return an unused permit."""
        if self._rate_limiter is not None and permit.token is not None:
            self._rate_limiter.give_back()

    def available(self, most: int) -> tuple[int, float]:
        """
        How many of *most* POSTs could go now, and if none, after how many seconds one may.

        The permits may turn out fewer.
        """
        return (most, 0.0) if self._rate_limiter is None else self._rate_limiter.available(most)

    def status(self) -> GenesysStatus | None:
        """State of rate limit, circuit breaker and token, for dashboards; None when unknown."""
        return None if self._rate_limiter is None else self._rate_limiter.status()

    def retry_delay_s(self, retries: int) -> float:
        """
        Seconds before the next attempt: exponential, with jitter over its upper half.

        Args:
            retries: How many delays the run had before this one; 0 for its first.
        """
        return retry_delay_s(retries, self._retry_base_s)

    def post(
        self,
        run_id: str,
        body: bytes,
        *,
        idempotency_key: str,
        permit: Permit | None = None,
        timeout_s: float = POST_TIMEOUT_S,
        traceparent: str = "",
    ) -> Receipt:
        """
        Send *body* once; again only with a fresh token, once, when the token was refused.

        Args:
            idempotency_key: The same for every attempt with the same bytes.

            permit: Without one no place is taken; the POST's outcome is recorded all the same.

            timeout_s: For all of it, the token included.

            traceparent: W3C trace context of this attempt, sent along.

        Raises:
            GenesysUnavailable: Worth another attempt, with the same bytes.
            Rejected: Refused for good; the message names what to fix.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        if traceparent:
            headers["traceparent"] = traceparent
        try:
            return self._post(run_id, body, headers, permit, timeout_s)
        except GenesysUnavailable as error:
            bounds = [most for most in (error.most_attempts, self._max_attempts) if most]
            error.most_attempts = min(bounds, default=None)
            raise

    def _post(
        self,
        run_id: str,
        body: bytes,
        headers: Mapping[str, str],
        permit: Permit | None,
        timeout_s: float,
    ) -> Receipt:
        if len(body) > MAX_BODY_BYTES:
            raise Rejected(f"{RULES[413].advice} ({len(body)} bytes; {MAX_BODY_BYTES} are taken)")
        url = self._submit_url.replace("{run_id}", path_segment(run_id))
        started = time.monotonic()
        deadline = started + timeout_s
        permit = permit or Permit(None, is_watched=True)
        if permit.refused is not None:
            raise permit.refused
        token = permit.token or self._token(deadline)
        sent_with = Permit(token, permit.is_watched)
        try:
            answer = self._send(url, body, headers, sent_with, deadline)
        except Rejected:  # nothing was sent
            self.give_back(permit)
            raise
        if answer.status == 401 and answer.code != "ip.not.authorized":
            self._tokens.invalidate(token)
            again = Permit(self._token(deadline), permit.is_watched)
            self._acquire_again(answer)
            answer = self._send(url, body, headers, again, deadline)
        if 200 <= answer.status < 300:
            took_ms = round((time.monotonic() - started) * 1000)
            remaining = answer.rate_limit_remaining
            return Receipt(answer.status, answer.correlation_id, took_ms, remaining)
        raise error_for(answer)

    def _token(self, deadline: float) -> str:
        return self._tokens.token(min(TIMEOUT_S, deadline - time.monotonic()))

    def _acquire_again(self, refused: Answer) -> None:
        """Take a place for the POST that follows a refused token."""
        slot = self._rate_limiter.acquire() if self._rate_limiter else None
        if slot and slot.wait_s > 0:
            raise GenesysUnavailable(
                "the token was refused, and no POST with a fresh one may go now",
                status=refused.status,
                code=refused.code,
                correlation_id=refused.correlation_id,
                retry_after_s=slot.wait_s,
            )

    def _send(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        permit: Permit,
        deadline: float,
    ) -> Answer:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise GenesysUnavailable("no time was left after the token request")
        auth = BearerToken(permit.token or "")
        try:
            answer = self._http.post(url, body, headers, left_s, auth=auth)
        except GenesysUnavailable:
            metrics.count("submissions", status="none")
            self._record(NO_ANSWER, permit, None)
            raise
        metrics.count("submissions", status=str(answer.status))
        self._record_remaining(answer)
        is_good = 200 <= answer.status < 300
        rule = Rule(is_retried=False) if is_good else rule_for(answer.status, answer.code)
        self._record(rule, permit, answer.retry_after_s)
        return answer

    def _record_remaining(self, answer: Answer) -> None:
        """Log and record `X-RateLimit-Remaining`; without one, as is usual, nothing is written."""
        remaining = answer.rate_limit_remaining
        if remaining is None:
            return
        _log.info("genesys.rate_limit", remaining=remaining, status=answer.status)
        if self._rate_limiter is not None:
            self._rate_limiter.record_remaining(remaining)

    def _record(self, rule: Rule, permit: Permit, retry_after_s: float | None) -> None:
        """Record a POST's outcome; most successes change nothing and cost no round trip."""
        if self._rate_limiter is None:
            return
        if rule.outcome == "failure":
            self._rate_limiter.record_failure()
        elif rule.outcome == "throttled":
            self._rate_limiter.record_throttled(retry_after_s)
        elif permit.is_watched:
            self._rate_limiter.record_success()


def from_settings(settings: Settings) -> Client:
    """
    The client that the settings describe; nothing is sent yet.

    Raises:
        SettingsError: All that is missing or wrong, one a line.
    """
    way = route(settings)
    login, scope = way.endpoints.login, settings.genesys_scope
    request = TokenRequest(login, way.client_id, way.client_secret, scope, http=way.http)
    limiter = rate_limiter.from_settings(settings)
    tokens: Tokens = FleetTokens(limiter.store, request) if limiter else TokenSource(request)
    return Client(
        way.endpoints.api + settings.genesys_submit_path,
        tokens,
        list_key=settings.genesys_list_key,
        rate_limiter=limiter,
        http=way.http,
        max_attempts=settings.genesys_max_attempts,
        retry_base_s=settings.genesys_retry_base_s,
    )
