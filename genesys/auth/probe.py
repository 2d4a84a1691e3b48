"""Ask Genesys for a token of one's own, to see whether the credentials are good."""

from genesys.auth.token_request import TIMEOUT_S, Grant
from genesys.route import route
from runtime.settings import Settings


def ask_for_token(values: Settings) -> None:
    """
    Ask once and forget what comes; the fleet's token and its pauses are left alone.

    Raises:
        GenesysUnavailable: Genesys could not answer.
        Rejected: The credentials are wrong; the message says what to verify.
        ValueError: A setting is missing or wrong.
    """
    way = route(values)
    if not values.genesys_client_id or not values.genesys_client_secret:
        raise ValueError("the credentials are not set")
    secret = values.genesys_client_secret.reveal()
    Grant(
        way.endpoints.login,
        values.genesys_client_id,
        secret,
        values.genesys_scope,
        http=way.http,
    ).request(TIMEOUT_S)
