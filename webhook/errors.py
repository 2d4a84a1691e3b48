"""
Why a delivery is not accepted; the class gives the status.

    BadSignature    401, without saying what was wrong with it
    BadDelivery     400, or the status it names, with a sentence
    TooMuch         413 or 431, while it is still arriving
"""


class BadSignature(Exception):
    """The delivery was not signed by someone who holds a secret."""


class BadDelivery(Exception):
    """
    The delivery cannot be understood.

    Args:
        message: A sentence for its sender; holds no part of the body.

        status: 400, 413 or 415.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class TooMuch(Exception):
    """
    The request is larger than is taken, or will be.

    Args:
        status: 413 or 431.

        message: A sentence for its sender.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
