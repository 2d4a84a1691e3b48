"""Flask without what no route of ours has; it is a third of what Flask costs a delivery."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import NotFound
from werkzeug.routing import MapAdapter, Rule

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class LeanFlask(Flask):
    """
    Without sessions, hooks around a request and teardown: functions given to those are not called.

    It answers at any address at which it is reached, so it does not ask at which.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self.session_interface = _NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return None
        # not request.path, which Werkzeug 3.1.9 gives one slash where several were
        path, method = request.environ["PATH_INFO"], request.method
        known = self._known.get((path, method))
        if known:
            return known
        kind = _Nowhere if path.startswith("//") else MapAdapter
        return kind(self.url_map, "", "/", "", "http", request.path, method)

    @cached_property
    def _known(self) -> Mapping[tuple[str, str], MapAdapter]:
        """By path and method, for all that have no parts that vary; OPTIONS is Flask's own."""
        return {
            (rule.rule, method): _Known(self.url_map, rule)
            for rule in self.url_map.iter_rules()
            for method in (rule.methods or set()) - {"OPTIONS"}
            if not rule.arguments
        }

    def preprocess_request(self) -> None:
        """No function is called before the view."""

    def process_response(self, response: Response) -> Response:
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """No function is called after the answer."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Here neither."""


class WholeResponse(Response):
    """
    An answer that goes out as it is given; Werkzeug would look through its parts, and change some.

    Args:
        body: JSON.
    """

    def __init__(self, status: str, body: bytes) -> None:
        self._whole = status, body

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        status, body = self._whole
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]


class _NoSessions(SessionInterface):
    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class _Known(MapAdapter):
    """What one path and method lead to."""

    def __init__(self, url_map: Any, rule: Rule) -> None:
        super().__init__(url_map, "", "/", "", "http", rule.rule, "GET")
        self._found: tuple[Rule, dict[str, Any]] = (rule, {})

    def match(self, *_: Any, **__: Any) -> Any:
        return self._found


class _Nowhere(MapAdapter):
    """What an address leads to that would be another one without its first slash."""

    def match(self, *_: Any, **__: Any) -> Any:
        raise NotFound
