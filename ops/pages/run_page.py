"""Pages of one run: its reason, waterfall, calls and attempts; its data; replay and drop."""

import json
from typing import Any, cast

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for

from ledger.admin import RETRYABLE_CODES, Mode
from ledger.errors import NotReplayable
from ops.diagnosis.reasons import Diagnosis
from ops.pages.guard import record
from ops.pages.state import dashboard
from ops.pages.waterfall import waterfall
from ops.pages.words import printable

MODES = {
    "submission": "send the same bytes once more, under the same idempotency key",
    "failed-calls": "make the calls again that may succeed now, then send all outputs",
    "full": "make every call again, then send all outputs",
}
"""How a dead letter may be replayed, and what that does."""
_NO_RUN = "No run has this key: it was dropped, or is older than runs are kept."
_CLIPPED = 2_000
_ALL_CLIPPED = 60_000
_IN_TABLES = ("missing_calls", "error_outputs", "last_attempt", "calls")
_FLEET_REASONS = (
    "NO_WORKER", "QUEUED", "ORPHANED", "CIRCUIT_OPEN", "RATE_LIMITED", "RETRYING",
    "WAITING_ON_DATABASE",
)  # fmt: skip
_TOOL_CODES = ("query_failed", "timeout", "unavailable", "unknown_tool", "too_large")

pages = Blueprint("run", __name__)


@pages.get("/runs/<key>")
def show_run(key: str) -> str:
    """Page of one run, without its data."""
    observer = dashboard().observer
    entry = _entry(key)
    now_ms = observer.store.place(key).now_ms
    diagnosis = observer.diagnosis(key, entry, now_ms)
    is_open = entry["state"] not in ("submitted", "dead")
    picture = waterfall(entry, now_ms)
    others = [r for r in observer.runs().find(entry["run_id"]) if r.key != key]
    return render_template(
        "run.html",
        key=key,
        entry=entry,
        diagnosis=diagnosis,
        look=_look(diagnosis),
        picture=picture,
        is_open=is_open,
        facts=_facts(diagnosis),
        suspects=sorted({c.tool for c in picture.calls if c.code in _TOOL_CODES}),
        look_at_fleet=diagnosis is not None and diagnosis.reason in _FLEET_REASONS,
        others=others[:10],
        events=_events(entry),
        modes=_modes(entry),
        now_ms=now_ms,
        renew_s=(1 if diagnosis is None else 2) if is_open else None,
    )


@pages.get("/runs/<key>/data")
def show_data(key: str) -> str:
    """Page of arguments and outputs, each cut to its beginning."""
    dashboard().guard.require_unlocked()
    entry = dashboard().observer.store.entry(key)
    if "state" not in entry:
        abort(404, _NO_RUN)
    record("data_shown", key=key, run_id=entry.get("run_id"))
    left, calls = _ALL_CLIPPED, []
    for index in range(int(entry.get("calls", 0))):
        texts = []
        for name in ("arguments", "output"):
            text = entry.get(f"{name}:{index}")
            shown = None if text is None else printable(text[: min(_CLIPPED, left)])
            more = max(0, len(text or "") - min(_CLIPPED, left))
            left -= len(text or "") - more
            texts.append({"shown": shown, "more": more})
        calls.append((index, entry.get(f"name:{index}", ""), *texts))
    body = entry.get("body")
    return render_template("data.html", key=key, entry=entry, calls=calls, body=body)


@pages.get("/runs/<key>/body")
def show_body(key: str) -> Response:
    """The exact bytes of the submission, as plain text."""
    dashboard().guard.require_unlocked()
    entry = dashboard().observer.store.entry(key)
    if "body" not in entry:
        abort(404, "No body is kept: none was sent yet, or the run ended well.")
    record("body_shown", key=key, run_id=entry.get("run_id"))
    text = entry["body"].encode("utf-8", "surrogatepass")
    return Response(text, content_type="text/plain; charset=utf-8")


@pages.get("/runs/<key>/replay")
def confirm_replay(key: str) -> str:
    """Confirmation page before a replay."""
    mode, entry = _mode(request.args.get("mode", "")), _entry(key)
    if entry["state"] != "dead":
        abort(409, "Only a dead letter can be replayed.")
    return render_template("confirm.html", key=key, entry=entry, mode=mode, does=MODES[mode])


@pages.post("/runs/<key>/replay")
def replay(key: str) -> Any:
    """Open a dead letter again."""
    mode, entry = _mode(request.form.get("mode", "")), _entry(key)
    try:
        generation = dashboard().observer.store.replay(key, cast("Mode", mode))
    except NotReplayable as error:
        abort(409, f"It cannot be replayed: {error}.")
    record("replayed", key=key, run_id=entry["run_id"], mode=mode, generation=generation)
    dashboard().observer.look_again()
    flash(f"Opened again, generation {generation}; a reconciler takes it from here.")
    return redirect(url_for("run.show_run", key=key), 303)


@pages.get("/runs/<key>/drop")
def confirm_drop(key: str) -> str:
    """Confirmation page before a run is deleted."""
    entry = _entry(key)
    if entry["state"] not in ("dead", "submitted"):
        abort(409, "Only a run that has ended can be dropped.")
    return render_template("confirm.html", key=key, entry=entry, mode=None)


@pages.post("/runs/<key>/drop")
def drop(key: str) -> Any:
    """Delete a run that has ended."""
    entry = _entry(key)
    try:
        dashboard().observer.store.drop(key)
    except NotReplayable as error:
        abort(409, f"It cannot be dropped: {error}.")
    record("dropped", key=key, run_id=entry["run_id"])
    dashboard().observer.look_again()
    flash(f"Run {entry['run_id']} is dropped.")
    return redirect(url_for("list.show_list"), 303)


def _entry(key: str) -> dict[str, str]:
    entry = dashboard().observer.store.outline(key)
    if not entry:
        abort(404, _NO_RUN)
    return entry


def _mode(text: str) -> str:
    if text not in MODES:
        abort(400, f"There is no such mode; known: {', '.join(MODES)}.")
    return text


def _modes(entry: dict[str, str]) -> list[tuple[str, str]]:
    """The modes that can open this dead letter again, with what each does."""
    if entry["state"] != "dead":
        return []
    codes = {entry.get(f"code:{index}") for index in range(int(entry["calls"]))}
    possible = {
        "submission": "body" in entry,
        "failed-calls": bool(codes & {None, *RETRYABLE_CODES}),
        "full": True,
    }
    return [(mode, does) for mode, does in MODES.items() if possible[mode]]


def _look(diagnosis: Diagnosis | None) -> str:
    """The colour of a reason."""
    if diagnosis is None or diagnosis.reason in ("RUNNING", "QUEUED"):
        return "info"
    if diagnosis.reason == "DONE":
        return "warn" if diagnosis.facts.get("error_outputs") else "ok"
    return "bad" if diagnosis.reason == "DEAD" else "warn"


def _facts(diagnosis: Diagnosis | None) -> list[tuple[str, str]]:
    """Facts in one line each, but for those that the tables of the page have."""
    if diagnosis is None:
        return []
    return [
        (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
        for name, value in diagnosis.facts.items()
        if value not in (None, "", []) and name not in _IN_TABLES
    ]


def _events(entry: dict[str, str]) -> list[tuple[int, str]]:
    """Events of the run as a whole, in order."""
    events = [(int(entry["accepted_at"]), "accepted")]
    if "begun_at" in entry:
        events.append((int(entry["begun_at"]), "begun by a worker"))
    if "frozen_at" in entry:
        events.append((int(entry["frozen_at"]), "body frozen"))
    for name, value in entry.items():
        if name.startswith("replayed_at:"):
            number = name.partition(":")[2]
            reason = entry.get(f"replayed_reason:{number}", "")
            events.append((int(value), f"replayed; generation {number} had ended as {reason}"))
    if "ended_at" in entry:
        reason = entry.get("reason", "")
        events.append((int(entry["ended_at"]), f"{entry['state']} {reason}".strip()))
    return sorted(events)
