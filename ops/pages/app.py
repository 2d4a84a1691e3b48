"""Flask app of the dashboard: blueprints, error pages, and the values in every page's frame."""

import secrets
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask, Response, redirect, render_template, request, session, url_for
from werkzeug.exceptions import HTTPException, SecurityError, Unauthorized

from ledger.errors import LedgerUnavailable
from ops.pages import dead_page, fleet_page, list_page, run_page, tools_page, words
from ops.pages.guard import Guard, record, token
from ops.pages.jobs import Jobs
from ops.pages.observer import Observer, problems_of
from ops.pages.state import Dashboard, dashboard
from runtime import logs, risks, settings
from runtime.settings import Settings

_PAGES = (list_page, run_page, dead_page, tools_page, fleet_page)


def build() -> Flask:
    """
    The app of this process.

    Raises:
        SettingsError: A setting is wrong, or DASHBOARD_PASSWORD is not set.
    """
    logs.configure()
    values = settings.load("REDIS_URL", "DASHBOARD_PASSWORD")
    risks.log_risks(values)
    return make(values)


def make(values: Settings) -> Flask:
    """The app with these settings; nothing is connected before the first page."""
    if values.dashboard_password is None:
        raise settings.SettingsError("DASHBOARD_PASSWORD: is not set (or DASHBOARD_PASSWORD_FILE)")
    app = Flask(__name__)
    app.config.update(
        # of this process: a restart ends what was unlocked
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_NAME="toolworker_dashboard",
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=1_000_000,
        DEBUG=False,  # whatever FLASK_DEBUG says
        # under another name a foreign page could read this one (DNS rebinding)
        TRUSTED_HOSTS=values.dashboard_host_names(),
    )
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "autoescape": True}
    app.jinja_env.filters.update(
        clock=words.clock, moment=words.moment, span=words.span, ago=words.ago, size=words.size
    )
    app.jinja_env.globals["form_token"] = token
    guard = Guard(values.dashboard_password, values.dashboard_admin_password)
    observer = Observer(values)
    with app.app_context():
        state = Dashboard(values, observer, guard, Jobs(observer.store, observer.look_again))
        state.install()
    guard.install(app)
    for page in _PAGES:
        app.register_blueprint(page.pages)
    app.context_processor(_surroundings)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(LedgerUnavailable, _without_ledger)
    _add_own_pages(app)
    return app


def _add_own_pages(app: Flask) -> None:
    @app.get("/")
    def home() -> Any:
        return redirect(url_for("list.show_list"))

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/unlock")
    def show_unlock() -> str:
        return render_template("unlock.html", next=_own_path(request.args.get("next", "")))

    @app.post("/unlock")
    def unlock() -> Any:
        target = _own_path(request.form.get("next", ""))
        if dashboard().guard.unlock(request.form.get("password", "")):
            return redirect(target, 303)
        return render_template("unlock.html", next=target, is_wrong=True), 403

    @app.post("/lock")
    def lock() -> Any:
        session.pop("unlocked_until", None)
        record("locked")
        return redirect(url_for("list.show_list"), 303)


def _own_path(path: str) -> str:
    """A path of this site; the list of runs for any other address."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else url_for("list.show_list")


def _surroundings() -> dict[str, Any]:
    """Values for every page's frame: current problems, and whether changes are unlocked."""
    state = dashboard()
    return {
        "problems": problems_of(state.observer.examined()),
        "can_unlock": state.guard.can_unlock,
        "is_unlocked": state.guard.is_unlocked(),
        "is_renewing": request.args.get("renew") != "off",
        "pause_url": _own_url(renew="off"),
        "renew_url": _own_url(),
        "flower_url": state.values.dashboard_flower_url,
    }


def _own_url(**more: str) -> str:
    """The address of this page; `url_for` would take some of its arguments as options."""
    args = [pair for pair in request.args.items(multi=True) if pair[0] != "renew"]
    query = urlencode([*args, *more.items()])
    return "/" + quote(request.path.lstrip("/")) + (f"?{query}" if query else "")


def _refused(error: HTTPException) -> Any:
    # of a foreign host no page is made, and the browser itself shows what a 401 is
    if isinstance(error, SecurityError | Unauthorized) or (error.code or 0) < 400:
        return error.get_response()
    text = render_template("error.html", code=error.code, name=error.name, why=error.description)
    return Response(text, error.code, mimetype="text/html")


def _without_ledger(error: LedgerUnavailable) -> Any:
    name = "The ledger does not answer"
    renew_s = 5 if request.method == "GET" else None  # it may come back
    text = render_template("error.html", code=503, name=name, why=error, renew_s=renew_s)
    return Response(text, 503, mimetype="text/html")
