"""Access control of the pages: both passwords, Host header, CSRF token, security headers."""

import hashlib
import secrets
import threading
import time
from collections import deque
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, request, session

from runtime import logs
from runtime.settings import Secret

UNLOCKED_S = 900
"""How long the second password unlocks a browser session."""
_TRIES, _WINDOW_S = 5, 60.0
"""Wrong second passwords per window; after these no password is taken until it ends."""
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_log = logs.get("dashboard")


class Guard:
    """
    Checks each request before its page.

    Args:
        password: Of the user `operator`, by HTTP basic authentication.

        second: What data and changes need; None: there are none.
    """

    def __init__(self, password: Secret, second: Secret | None) -> None:
        self._password, self._second = _digest(password.reveal()), None
        if second is not None:
            self._second = _digest(second.reveal())
        self._failures: deque[float] = deque(maxlen=_TRIES)
        self._lock = threading.Lock()

    @property
    def can_unlock(self) -> bool:
        """Whether there is a second password."""
        return self._second is not None

    def install(self, app: Flask) -> None:
        """Check every request of *app*, and give every answer its headers."""
        app.before_request(self._check)
        app.after_request(_harden)

    def unlock(self, password: str) -> bool:
        """Take the second password for this browser session; aborts with 429 after many tries."""
        with self._lock:
            now = time.monotonic()
            if len(self._failures) == _TRIES and now - self._failures[0] < _WINDOW_S:
                abort(429, "Five wrong passwords within a minute; wait for one.")
            is_right = self._second is not None and secrets.compare_digest(
                _digest(password), self._second
            )
            if not is_right:
                self._failures.append(now)
        record("unlocked" if is_right else "unlock_refused")
        if is_right:
            session["unlocked_until"] = int(time.time()) + UNLOCKED_S
        return is_right

    def is_unlocked(self) -> bool:
        """Whether this browser session gave the second password, less than 15 minutes ago."""
        return self.can_unlock and session.get("unlocked_until", 0) > time.time()

    def _check(self) -> None:
        if request.endpoint == "livez":
            return
        if not self._is_operator():
            g.is_refused = True
            abort(401)
        if request.method not in ("GET", "HEAD"):
            _check_origin()
            given, own = request.form.get("token", ""), session.get("token")
            if own is None or not secrets.compare_digest(_digest(given), _digest(own)):
                abort(403, "The form is not of this session; load the page again.")
            if request.endpoint not in ("unlock", "lock"):
                self.require_unlocked()

    def require_unlocked(self) -> None:
        """Abort with 403 unless the second password was given."""
        if not self.is_unlocked():
            abort(403, "This needs the second password.")

    def _is_operator(self) -> bool:
        given = request.authorization
        if given is None or given.type != "basic" or given.username != "operator":
            return False
        return secrets.compare_digest(_digest(given.password or ""), self._password)


def token() -> str:
    """CSRF token of this session, which each of its forms carries."""
    if "token" not in session:
        session["token"] = secrets.token_urlsafe(24)
    return str(session["token"])


def record(what: str, **fields: object) -> None:
    """Log an operator's change, or view of data, with the client's address."""
    _log.info(f"dashboard.{what}", address=request.remote_addr, **fields)


def _check_origin() -> None:
    # browsers send it with every POST; what does not is no browser, and has no form of ours
    origin = urlsplit(request.headers.get("Origin", ""))
    if origin.scheme not in ("http", "https") or origin.netloc != request.host:
        abort(403, "The request comes from another site.")


def _harden(response: Response) -> Response:
    headers = response.headers
    headers["Content-Security-Policy"] = _POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    # "no-referrer" would make a form's Origin "null"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.endpoint != "static":
        headers["Cache-Control"] = "no-store"
    if g.get("is_refused"):
        headers["WWW-Authenticate"] = 'Basic realm="toolworker", charset="UTF-8"'
    return response


def _digest(text: str) -> bytes:
    # of equal length, so that comparing shows none
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
