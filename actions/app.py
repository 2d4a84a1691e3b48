"""Flask app of data actions: authorize, validate, query, respond; all in one request."""

import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from actions import contract, responses
from actions.auth import authorize
from actions.contract import PATH
from actions.deadline import deadline
from actions.errors import Busy
from db import catalog
from db.catalog import Catalog, Tool
from db.errors import CatalogError, ToolError, Unavailable
from db.pool import Databases
from runtime import logs, metrics, risks, settings
from runtime.settings import Settings

_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what can stand in a log line unquoted
_RETRY_S = 0.1

_log = logs.get("actions")


def build() -> Flask:
    """Make the app of the one gunicorn worker; it connects to databases when it is first called."""
    logs.configure()
    risks.log_misspellings()
    values, tools = _kept or keep()
    databases = Databases(values.database_urls(), max_size=values.actions_at_once)
    databases.open()
    return make(values, tools, databases)


def make(values: Settings, tools: Catalog, databases: Databases) -> Flask:
    """Make the app for *tools*; *databases* must be open."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would be an answer that no document describes
    # one more than allowed: of a body without a length Werkzeug gives what fits, without an error
    app.config["MAX_CONTENT_LENGTH"] = responses.MAX_BODY_BYTES + 1
    app.config["DEBUG"] = False  # whatever FLASK_DEBUG says: unexpected errors are answered, too
    _serve(app, _Endpoint(values, tools, databases))
    responses.handle_errors(app)
    _record(app)
    return app


_kept: tuple[Settings, Catalog] | None = None
"""What gunicorn's master loaded last; processes that it forks later have the same tools."""


def keep() -> tuple[Settings, Catalog]:
    """
    Load and check settings and tools, for this process and those that it forks.

    Raises:
        SystemExit: With all mistakes, one a line.
    """
    global _kept
    try:
        _kept = _load()
    except (settings.SettingsError, CatalogError) as mistakes:
        raise SystemExit(f"the data-action endpoint cannot start:\n{mistakes}") from mistakes
    return _kept


def reload() -> Settings:
    """Load the tools anew; with a mistake in them the tools stay as they are."""
    global _kept
    logs.configure()
    values, before = _kept or keep()
    try:
        _kept = values, tools = _load()
    except CatalogError as mistakes:
        _log.error("catalog.refused", catalog=before.digest, mistakes=str(mistakes))
    else:
        _log.info("catalog.reloaded", catalog=tools.digest, before=before.digest)
    return values


def _load() -> tuple[Settings, Catalog]:
    values = settings.load("ACTIONS_SECRETS", "DATABASE_URL")
    tools = catalog.load(values.tools_dir)
    if missing := tools.without_database(values.database_urls()):
        raise CatalogError(missing)
    return values, tools


def gauge() -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """The metric that names the catalogue, as `metrics.serve_from` takes it."""
    return {"catalog": {(_kept[1].digest,): 1.0}} if _kept else {}


class _Endpoint:
    """One process' tools, databases, and a slot for each call that may run at once."""

    def __init__(self, values: Settings, tools: Catalog, databases: Databases) -> None:
        self.schemes, self.secrets = values.action_schemes(), values.action_secrets()
        self.databases = databases
        self._tools = tools
        self._slots = threading.BoundedSemaphore(values.actions_at_once)

    def call(self, name: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """
        One call of a tool.

        Raises:
            BadDeadline: See `deadline`.

            Busy: All slots are taken.

            ToolError: The call ends in an error output.
        """
        seconds_left, hang_margin_s = deadline(headers, time.time())
        ends_at = time.monotonic() + seconds_left
        tool = self._tools.tools.get(name)
        if tool is None:
            raise ToolError("unknown_tool", "There is no tool of this name.")
        g.tool = name
        text, conversation_id = contract.read_arguments(tool, body)
        if _PLAIN_ID.fullmatch(conversation_id):
            g.conversation_id = conversation_id
        arguments = tool.values_of_texts(text, contract.bound_texts(tool, headers))
        if not self._slots.acquire(blocking=False):
            raise Busy
        try:
            output = self._query(tool, arguments, ends_at, hang_margin_s)
        finally:
            self._slots.release()
        return contract.answer(tool, output)

    def _query(
        self, tool: Tool, arguments: Mapping[str, Any], ends_at: float, hang_margin_s: float
    ) -> str:
        """Query, and once more if the connection broke: reading twice is harmless."""
        tool = replace(tool, max_bytes=min(tool.max_bytes, contract.MAX_ANSWER_BYTES))
        ends_at = min(ends_at, time.monotonic() + tool.timeout_ms / 1000)

        def query() -> str:
            left_ms = _left_ms(ends_at)
            return self.databases.query(
                tool, arguments, timeout_ms=left_ms, hang_margin_s=hang_margin_s
            )

        try:
            return query()
        except Unavailable:
            time.sleep(_RETRY_S)
        try:
            return query()
        except Unavailable as exc:
            raise ToolError("unavailable", _UNAVAILABLE, retryable=True) from exc


def _left_ms(ends_at: float) -> int:
    left_ms = int((ends_at - time.monotonic()) * 1000)
    if left_ms <= 0:
        raise ToolError("timeout", _TIMEOUT, retryable=True)
    return left_ms


def _serve(app: Flask, endpoint: _Endpoint) -> None:
    @app.post(f"{PATH}/<tool>", provide_automatic_options=False)
    def call(tool: str) -> Response:
        body = request.get_data(cache=False)
        if len(body) > responses.MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        headers = {name.lower(): value for name, value in request.headers.items()}
        authorize(headers, schemes=endpoint.schemes, secrets=endpoint.secrets)
        return responses.answer(endpoint.call(tool, body, headers))

    @app.get("/livez", provide_automatic_options=False)
    def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz", provide_automatic_options=False)
    def readyz() -> tuple[dict[str, str], int]:
        for name in sorted(endpoint.databases.names):
            try:
                endpoint.databases.ping(name)
            except Unavailable:
                return {"error": f"Not ready: the database {name} does not answer."}, 503
        return {"status": "ready"}, 200


def _record(app: Flask) -> None:
    """Give each request an id, and write one line and one count when it is answered."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _PLAIN_ID.fullmatch(given) else secrets.token_hex(8)
        g.began = time.monotonic()
        logs.begin(request_id=g.request_id)
        if request.environ["PATH_INFO"].startswith("//"):  # Werkzeug 3.1 reads //livez as /livez
            raise NotFound

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if not request.path.startswith(f"{PATH}/"):
            return response
        took_s = time.monotonic() - g.began
        code, tool = g.get("code", ""), g.get("tool", "")
        metrics.count("actions", status=str(response.status_code))
        if tool:  # others are not ours: a label for each would be the caller's choice
            metrics.observe_call(took_s, tool=tool, code=code)
        conversation = g.get("conversation_id")
        _log.info(
            "action.answered",
            tool=tool,
            code=code,
            status=response.status_code,
            rows=g.get("rows", 0),
            bytes=response.content_length,
            took_ms=round(took_s * 1000),
            **({"conversation_id": conversation} if conversation else {}),
        )
        return response


_UNAVAILABLE = "The data cannot be reached right now. Try the same call again later."
_TIMEOUT = "The tool took too long. Try again with narrower arguments."
