"""Ask Genesys for a token of one's own, to see whether the credentials are good."""

from genesys.grant import TIMEOUT_S, Grant
from genesys.regions import endpoints
from runtime.settings import Settings


def ask_for_token(values: Settings) -> None:
    """
    Ask once and forget what comes; the fleet's token and its pauses are left alone.

    Raises:
        Unavailable: Genesys could not answer.
        Rejected: The credentials are wrong; the message says what to verify.
        ValueError: A setting is missing or wrong.
    """
    where = endpoints(
        values.genesys_region,
        values.genesys_base_url,
        values.genesys_login_url,
        allow_http=values.genesys_allow_http,
    )
    if not values.genesys_client_id or not values.genesys_client_secret:
        raise ValueError("the credentials are not set")
    secret = values.genesys_client_secret.reveal()
    Grant(where.login, values.genesys_client_id, secret, values.genesys_scope).request(TIMEOUT_S)
