"""Verify the OAuth credentials by one token request, for the doctor; raise if they are wrong."""

from genesys.auth.token_request import TIMEOUT_S, TokenRequest
from genesys.route import route
from runtime.settings import Settings


def verify_credentials(values: Settings) -> None:
    """
    Request a token and drop it; the fleet's token and its pauses are left alone.

    Raises:
        GenesysUnavailable: Genesys could not answer.
        Rejected: The credentials are wrong; the message names what to verify.
        SettingsError: All that is missing or wrong, one a line.
    """
    way = route(values)
    TokenRequest(
        way.endpoints.login,
        way.client_id,
        way.client_secret,
        values.genesys_scope,
        http=way.http,
    ).send(TIMEOUT_S)
