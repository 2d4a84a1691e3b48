"""
Errors of a request to Genesys; the class decides what follows.

    GenesysError
    ├── GenesysUnavailable   retry: 429, 5xx, no connection, a time-out
    ├── Held                 wait: nothing was sent, so it was no attempt
    └── Rejected             dead letter: the request, the run or our rights are wrong
        └── Untrusted        the server did not prove that it is Genesys
"""


class GenesysError(Exception):
    """
    A request that did not end in a 2xx.

    Args:
        message: A sentence for the operator; never holds a token, a secret or a body.

        status: The HTTP status, or None when no answer came.

        code: Genesys' own error code, such as `too.many.requests`, or None.

        correlation_id: The `ININ-Correlation-Id` of the answer, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.correlation_id = correlation_id


class GenesysUnavailable(GenesysError):
    """
    Retry: Genesys throttles, is down, or could not be reached.

    Args:
        retry_after_s: Seconds to wait, as Genesys' answer has it, or None.

        is_unknown: The request may have arrived (a time-out, a connection lost after
            sending); a repeat must be byte-equal.

        most_attempts: After so many attempts the run is a dead letter; None means no limit.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        correlation_id: str | None = None,
        retry_after_s: float | None = None,
        is_unknown: bool = False,
        most_attempts: int | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, correlation_id=correlation_id)
        self.retry_after_s = retry_after_s
        self.is_unknown = is_unknown
        self.most_attempts = most_attempts


class Held(GenesysError):
    """
    Wait: no POST may go now, because of the rate limit, a 429, an open circuit, or no token.

    Args:
        is_for_token: There is no token; the rate limiter does not know when one may go.
    """

    def __init__(self, message: str, *, is_for_token: bool = False) -> None:
        super().__init__(message)
        self.is_for_token = is_for_token


class Rejected(GenesysError):
    """Refused for good; the message names what to fix."""


class Untrusted(Rejected):
    """
    The server's certificate is not trusted, or for another host; nothing was sent.

    A dead letter and not a retry: a wrong CA bundle, or a proxy that opens TLS, stays wrong until
    an operator changes it, and a caller would wait for nothing. The dead letter can be replayed.
    """
