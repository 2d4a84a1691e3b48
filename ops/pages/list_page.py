"""Pages of the list of runs (stuck ones on top, then the newest first) and of the search."""

import re
import time
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from ledger.errors import LedgerUnavailable
from ops.pages.index import Filters
from ops.pages.state import dashboard

PAGE_SIZE = 50
_STUCK_SHOWN = 10
AGES = {"15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400}
"""Choices of the age filter, in seconds."""
_STATES = ("stuck", "open", "submitted", "dead")
_BEFORE = re.compile(r"(\d{1,15})-([0-9a-f]{32})")

pages = Blueprint("list", __name__)


@pages.get("/runs")
def show_list() -> str:
    """One page of the list, by the filters of its address."""
    snapshot = dashboard().observer.runs()
    chosen = {name: request.args.get(name, "") for name in ("state", "tool", "code", "age")}
    chosen["state"] = chosen["state"] if chosen["state"] in _STATES else ""
    age_s = AGES.get(chosen["age"])
    since_ms = snapshot.now_ms - age_s * 1000 if age_s else 0
    filters = Filters(chosen["state"], chosen["tool"], chosen["code"], since_ms)
    found = _BEFORE.fullmatch(request.args.get("before", ""))
    before = (int(found[1]), found[2]) if found else None
    runs, has_more = snapshot.page(filters, before=before, size=PAGE_SIZE)
    is_plain = before is None and not any(chosen.values())
    return render_template(
        "list.html",
        snapshot=snapshot,
        runs=runs,
        chosen={name: value for name, value in chosen.items() if value},
        ages=AGES,
        stuck=snapshot.stuck[:_STUCK_SHOWN] if is_plain else (),
        is_first=before is None,
        further=f"{runs[-1].accepted_at}-{runs[-1].key}" if has_more else "",
        renew_s=5,
    )


@pages.get("/find")
def find() -> Any:
    """The run with a key, run id, trace id or correlation id; a list when several have it."""
    name = request.args.get("q", "").strip()
    if not name:
        return redirect(url_for("list.show_list"))
    observer = dashboard().observer
    snapshot = observer.runs()
    found = snapshot.find(name)
    if not found:  # accepted this moment, or too old for the list
        if observer.store.outline(name):
            return redirect(url_for("run.show_run", key=name))
        observer.look_again()
        time.sleep(0.1)
        found = observer.runs().find(name)
    if len(found) == 1:
        return redirect(url_for("run.show_run", key=found[0].key))
    if found:
        return render_template("found.html", name=name, runs=found[:PAGE_SIZE], snapshot=snapshot)
    return render_template("not_found.html", name=name, **_ledger_of_now()), 404


def _ledger_of_now() -> dict[str, Any]:
    state = dashboard()
    try:
        state.observer.ledger.ping()
    except LedgerUnavailable:
        is_taking = False
    else:
        is_taking = True
    return {"is_taking": is_taking, "retention_s": state.values.run_retention_s}
