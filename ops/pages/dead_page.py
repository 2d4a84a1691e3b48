"""Pages of dead letters by reason, and of the replay of several with its progress."""

import re
from collections import Counter
from typing import Any, cast

from flask import Blueprint, abort, redirect, render_template, request, url_for

from ledger.admin import Mode
from ledger.lines import RunLine
from ops.pages.guard import record
from ops.pages.index import Snapshot
from ops.pages.run_page import MODES
from ops.pages.state import dashboard

PAGE_SIZE = 100
_KEY = re.compile(r"[0-9a-f]{32}")

pages = Blueprint("dead", __name__)


@pages.get("/dead")
def show_dead() -> str:
    """Page of dead letters, those that ended last first."""
    snapshot = dashboard().observer.runs()
    reason = request.args.get("reason", "")
    dead = _dead(snapshot, reason)
    return render_template(
        "dead.html",
        snapshot=snapshot,
        runs=dead[:PAGE_SIZE],
        count=len(dead),
        reasons=Counter(run.reason for run in _dead(snapshot, "")).most_common(),
        reason=reason,
        renew_s=10,
    )


@pages.post("/dead/replay")
def replay_many() -> Any:
    """Confirmation page for a replay of several; with a mode, start it."""
    keys = [key for key in request.form.getlist("key") if _KEY.fullmatch(key)]
    reason = request.form.get("reason", "")
    if request.form.get("all"):
        keys = [run.key for run in _dead(dashboard().observer.runs(), reason)]
    if not keys:
        return redirect(url_for("dead.show_dead", reason=reason or None), 303)
    mode = request.form.get("mode", "")
    if not mode:
        everything = bool(request.form.get("all"))
        return render_template(
            "confirm_many.html", keys=keys, reason=reason, modes=MODES, everything=everything
        )
    if mode not in MODES:
        abort(400, f"There is no such mode; known: {', '.join(MODES)}.")
    job = dashboard().jobs.start(keys, cast("Mode", mode))
    record("replay_started", mode=mode, dead_letters=len(keys), job=job.name)
    return redirect(url_for("dead.show_job", name=job.name), 303)


@pages.get("/jobs/<name>")
def show_job(name: str) -> str:
    """Page of a replay's progress, and of how its runs ended."""
    job = dashboard().jobs.find(name)
    if job is None:
        abort(404, "No such replay: it is one of an earlier start, or twenty came after it.")
    runs = dashboard().observer.runs().by_key
    ended = Counter(_word(runs.get(key)) for key in list(job.replayed))
    is_done = job.is_over and not ended["open"]
    return render_template("job.html", job=job, ended=ended, renew_s=None if is_done else 1)


def _dead(snapshot: Snapshot, reason: str) -> list[RunLine]:
    dead = [run for run in snapshot.runs if run.state == "dead" and reason in ("", run.reason)]
    return sorted(dead, key=lambda run: -run.ended_at)


def _word(run: RunLine | None) -> str:
    return "gone" if run is None else "open" if run.is_open else run.state
