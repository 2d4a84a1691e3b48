"""`toolworker runs`: list, show and diagnose runs, replay dead letters, drop a run."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from ledger.admin import Kind, Mode, RunStore

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)


class _Age(click.ParamType[int, Any]):
    """A span such as 90s, 15m, 2h or 7d, as seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = re.fullmatch(r"(\d+)([smhd])", str(value))
        if not found:
            self.fail("give a number and s, m, h or d, such as 15m", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


@click.group()
def runs() -> None:
    """Inspect runs, and replay dead letters."""


@runs.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "submitted", "dead", "all"]),
    default="all",
    show_default=True,
)
@click.option(
    "--stuck",
    "is_stuck",
    is_flag=True,
    help="Open runs that no worker has begun for 5 s, or that are not answered at answer-by.",
)
@click.option("--since", "age_s", type=_Age(), help="Accepted at most this long ago: 15m, 2h, 7d.")
@_OUTPUT
def list_runs(state: str, age_s: int | None, output: str, *, is_stuck: bool) -> None:
    """List runs, oldest first; with --stuck the exit code is 3 when there are any."""
    store = _store()
    found = _select(store, "open" if is_stuck else state, age_s)
    if is_stuck:
        found = _stuck(found, store.place("").now_ms)
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        from ops.commands.tables import show_table

        columns = ("key", "accepted (UTC)", "state", "outputs>", "attempts>", "reason", "run")
        show_table(columns, [_row(run) for run in found])
    raise SystemExit(3 if is_stuck and found else 0)


@runs.command()
@click.argument("key")
@click.option(
    "--body",
    is_flag=True,
    help="Print the exact bytes of the submission instead, and on stderr what tools bind.",
)
@_OUTPUT
def show(key: str, *, body: bool, output: str) -> None:
    """Show the timeline of a run, by its key, its run id or its trace id."""
    from ledger.admin import is_data

    store = _store()
    found = _find(store, key)
    entry = store.entry(found)
    if body:
        for source, value in json.loads(entry.get("bound", "{}")).items():
            # beside the bytes, so that those stay exact
            click.echo(f"bound {source}: {json.dumps(value, ensure_ascii=False)}", err=True)
        if "body" not in entry:
            raise click.ClickException("no body is kept: none was sent yet, or the run ended well")
        click.echo(entry["body"])
        return
    fields = {"key": found, **{k: v for k, v in entry.items() if not is_data(k)}}
    if output == "json":
        click.echo(json.dumps(fields, indent=2, ensure_ascii=False, sort_keys=True))
        return
    from ops.commands.tables import show_line, show_table
    from ops.diagnosis.timeline import timeline, when
    from runtime.trace_context import run_trace

    traceparent, replays = entry.get("traceparent", ""), int(entry.get("replays", 0))
    trace_id = run_trace(found, traceparent, replays).trace_id
    show_line(entry["state"], f"run {entry['run_id']}, key {found}, trace {trace_id}")
    began = int(entry["accepted_at"])
    rows = [(when(at), f"+{at - began} ms", text) for at, text in timeline(entry)]
    show_table(("when (UTC)", "since>", "what"), rows)


@runs.command()
@click.argument("key")
@_OUTPUT
def why(key: str, output: str) -> None:
    """
    Diagnose a run: the reason why it has not ended, of a closed list, and what to type next.

    Exit code: 0 for DONE, 3 while it is open, 4 for DEAD, 1 when there is no such run.
    """
    from ops.diagnosis.observations import observe
    from ops.diagnosis.reasons import EXIT_CODES, OPEN
    from ops.diagnosis.why import diagnose

    store = _store()
    found = _find(store, key)
    entry = store.entry(found)
    diagnosis = diagnose(found, entry, observe(store, found, entry))
    if output == "json":
        ids = {"key": found, "run_id": entry["run_id"], "state": entry["state"]}
        click.echo(json.dumps({**ids, **asdict(diagnosis)}, indent=2, ensure_ascii=False))
    else:
        from ops.commands.tables import show_line

        show_line(diagnosis.reason, diagnosis.sentence)
        for command in diagnosis.next:
            click.echo(f"  next: {command}")
    raise SystemExit(EXIT_CODES.get(diagnosis.reason, OPEN))


@runs.command()
@click.argument("key", required=False)
@click.option("--since", "age_s", type=_Age(), help="All dead letters of this age: 1h.")
@click.option("--all", "everything", is_flag=True, help="All dead letters there are.")
@click.option(
    "--mode",
    type=click.Choice(["submission", "failed-calls", "full"]),
    default="submission",
    show_default=True,
    help="The same bytes again; the calls that may succeed now; or everything anew.",
)
def replay(key: str | None, age_s: int | None, *, everything: bool, mode: str) -> None:
    """Replay dead letters: one by KEY, or several."""
    from ledger.errors import NotReplayable

    if sum([key is not None, age_s is not None, everything]) != 1:
        raise click.UsageError("give a KEY, or --since, or --all")
    store = _store()
    keys = [_find(store, key)] if key else [r["key"] for r in _select(store, "dead", age_s)]
    failed = 0
    for each in keys:
        try:
            generation = store.replay(each, cast("Mode", mode))
        except NotReplayable as error:
            failed += 1
            click.echo(f"{each}: {error}", err=True)
        else:
            click.echo(f"{each} opened again, generation {generation}")
    if failed:
        raise SystemExit(1)


@runs.command()
@click.argument("key")
def drop(key: str) -> None:
    """Delete a run that has ended from the ledger."""
    from ledger.errors import NotReplayable

    store = _store()
    found = _find(store, key)
    try:
        store.drop(found)
    except NotReplayable as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{found} dropped")


def _store() -> RunStore:
    import ledger
    from ledger.admin import RunStore
    from runtime import settings

    values = settings.load("REDIS_URL")
    return RunStore(ledger.from_settings(values, timeout_s=5.0, retries=0))


def _find(store: RunStore, name: str) -> str:
    from ledger.errors import NoSuchRun

    try:
        return store.find(name)
    except NoSuchRun as error:
        raise click.ClickException(str(error)) from error


def _select(store: RunStore, state: str, age_s: int | None) -> list[dict[str, str]]:
    from ledger.admin import KINDS

    kinds = KINDS if state == "all" else (cast("Kind", state),)
    found = store.summaries([key for kind in kinds for key in store.keys(kind)])
    oldest = 0.0 if age_s is None else (time.time() - age_s) * 1000
    kept = [run for run in found if float(run["accepted_at"]) >= oldest]
    return sorted(kept, key=lambda run: float(run["accepted_at"]))


def _stuck(found: list[dict[str, str]], now_ms: int) -> list[dict[str, str]]:
    """Runs that no worker began in time, or that are not answered at answer-by."""

    from ops.diagnosis.reasons import is_stuck

    def times(run: dict[str, str]) -> tuple[int, int, int]:
        return int(run["accepted_at"]), int(run["begun_at"] or 0), int(run["answer_by"] or 0)

    return [run for run in found if is_stuck(now_ms, *times(run))]


def _row(run: dict[str, str]) -> tuple[str, ...]:
    """One line of the list."""
    from ops.diagnosis.timeline import when

    answered = f"{run['outputs']}/{run['calls']}"
    accepted = when(run["accepted_at"])
    shown = (run["key"], accepted, run["state"], answered, run["attempts"], run["reason"])
    return (*shown, run["run_id"])
