"""Endpoint of Genesys' data actions: one tool call a request. `gunicorn 'actions:create_app()'`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> Flask:
    """
    The WSGI app of the data-action endpoint; settings and tools are checked before it is returned.

    Raises:
        SystemExit: With all mistakes, one a line, so that the endpoint does not listen.
    """
    # here, so that the exporter can use actions.contract without Flask
    from actions.app import build

    return build()
