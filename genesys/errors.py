"""
What a call to Genesys can end in; the class says what to do.

    GenesysError
    ├── GenesysUnavailable    try again: 429, 5xx, no connection, a time-out
    ├── Held                wait for your turn: nothing was sent, so it was no attempt
    └── Rejected            do not: the request, the run or our rights are wrong
        └── Untrusted       nor here: the server did not prove that it is Genesys
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
    Worth another attempt.

    Args:
        retry_after_s: What Genesys asked us to wait, in seconds, or None.

        is_unknown: The request may have arrived (a time-out, a connection lost after
            sending); a repeat must be byte-equal.

        most_attempts: After so many of the run it is refused for good; None means no limit.
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
    No POST may go now: the rate, a 429, an open circuit, or no token.

    Args:
        is_for_token: It is the token that lacks; the gate does not know of that.
    """

    def __init__(self, message: str, *, is_for_token: bool = False) -> None:
        super().__init__(message)
        self.is_for_token = is_for_token


class Rejected(GenesysError):
    """Refused for good; the message says how to mend it."""


class Untrusted(Rejected):
    """
    The server's certificate is not trusted, or for another host; nothing was sent.

    A dead letter and not a retry: a wrong CA bundle, or a proxy that opens TLS, stays wrong until
    an operator changes it, and a caller would wait for nothing. The dead letter can be replayed.
    """
