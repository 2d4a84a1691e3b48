"""
Errors of a delivery that is refused; the class gives the HTTP status.

    BadSignature    401, without saying what was wrong with it
    BadDelivery     400, or the status it names, with a sentence
"""


class BadSignature(Exception):
    """The delivery was not signed by someone who holds a secret."""


class BadDelivery(Exception):
    """
    The delivery cannot be understood.

    Args:
        message: A sentence for its sender; holds no part of the body.

        status: 400 or 415.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
