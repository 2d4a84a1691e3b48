"""Receiver of Genesys' webhook deliveries. `gunicorn 'webhook:create_app()'` finds the app here."""

from flask import Flask


def create_app() -> Flask:
    """
    The WSGI app of the receiver; settings and tool catalogue are checked before it is returned.

    Raises:
        SystemExit: With all mistakes, one a line, so that the receiver does not listen.
    """
    # here, so that parsing and verifying can be used and tested without the pipeline behind them
    from webhook.app import build

    return build()
