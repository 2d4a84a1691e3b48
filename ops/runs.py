"""`toolworker runs`: look runs up, send dead letters again, drop one."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from tasks.archive import Archive, Kind, Mode

_OUTCOME = ("status", "code", "correlation_id", "took_ms", "error")
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
    """Look at runs, and send dead letters again."""


@runs.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "submitted", "dead", "all"]),
    default="all",
    show_default=True,
)
@click.option("--since", "age_s", type=_Age(), help="Accepted at most this long ago: 15m, 2h, 7d.")
@_OUTPUT
def list_runs(state: str, age_s: int | None, output: str) -> None:
    """List runs, oldest first."""
    found = _select(_archive(), state, age_s)
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for run in found:
        answered = f"{run['outputs']}/{run['calls']} outputs"
        why = run["reason"] or (f"attempt {run['attempts']}" if run["attempts"] else "")
        click.echo(
            f"{run['key']}  {_when(run['accepted_at'])}  {run['state']:<10} {answered:<16}"
            f" {why:<12} {run['run_id']}"
        )


@runs.command()
@click.argument("key")
@click.option("--body", is_flag=True, help="Print the exact bytes of the submission instead.")
@_OUTPUT
def show(key: str, *, body: bool, output: str) -> None:
    """Show all that is known of a run, by its key or its run id."""
    archive = _archive()
    found = _find(archive, key)
    entry = archive.entry(found)
    if body:
        if "body" not in entry:
            raise click.ClickException("no body is kept: none was sent yet, or the run ended well")
        click.echo(entry["body"])
        return
    told = {"key": found, **{k: v for k, v in entry.items() if not _is_data(k)}}
    if output == "json":
        click.echo(json.dumps(told, indent=2, ensure_ascii=False, sort_keys=True))
        return
    for at, text in sorted(_timeline(entry)):
        click.echo(f"{_when(str(at))}  {text}")


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
    """Send dead letters again: one by KEY, or several."""
    from tasks.errors import NotReplayable

    if sum([key is not None, age_s is not None, everything]) != 1:
        raise click.UsageError("give a KEY, or --since, or --all")
    archive = _archive()
    keys = [_find(archive, key)] if key else [r["key"] for r in _select(archive, "dead", age_s)]
    failed = 0
    for each in keys:
        try:
            generation = archive.replay(each, cast("Mode", mode))
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
    """Forget a run that has ended."""
    from tasks.errors import NotReplayable

    archive = _archive()
    found = _find(archive, key)
    try:
        archive.drop(found)
    except NotReplayable as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{found} dropped")


def _archive() -> Archive:
    from runtime import settings
    from tasks.archive import Archive
    from tasks.worker import open_ledger

    return Archive(open_ledger(settings.load("REDIS_URL"), timeout_s=5.0, retries=0))


def _find(archive: Archive, name: str) -> str:
    from tasks.errors import NoSuchRun

    try:
        return archive.find(name)
    except NoSuchRun as error:
        raise click.ClickException(str(error)) from error


def _select(archive: Archive, state: str, age_s: int | None) -> list[dict[str, str]]:
    from tasks.archive import KINDS

    kinds = KINDS if state == "all" else (cast("Kind", state),)
    found = archive.summaries([key for kind in kinds for key in archive.keys(kind)])
    oldest = 0.0 if age_s is None else (time.time() - age_s) * 1000
    kept = [run for run in found if float(run["accepted_at"]) >= oldest]
    return sorted(kept, key=lambda run: float(run["accepted_at"]))


def _timeline(entry: dict[str, str]) -> list[tuple[int, str]]:
    """What happened to a run: (milliseconds, sentence)."""
    told = [(int(entry["accepted_at"]), f"accepted, run {entry['run_id']}, {entry['calls']} calls")]
    if "begun_at" in entry:
        told.append((int(entry["begun_at"]), "begun by a worker"))
    for index in range(int(entry["calls"])):
        call = f"call {index} ({entry.get(f'name:{index}', '')})"
        if f"started_at:{index}" in entry:
            told.append((int(entry[f"started_at:{index}"]), f"{call} started"))
        if f"ended_at:{index}" in entry:
            took, tries = entry[f"took_ms:{index}"], entry.get(f"tries:{index}", "0")
            code = entry[f"code:{index}"]
            text = f"{call} ended: {code}, {took} ms, try {tries}, {entry[f'bytes:{index}']} bytes"
            told.append((int(entry[f"ended_at:{index}"]), text))
    for attempt in range(1, int(entry.get("attempts", 0)) + 1):
        outcome = {name: entry.get(f"attempt_{name}:{attempt}") for name in _OUTCOME}
        how = ", ".join(f"{k} {v}" for k, v in outcome.items() if v) or "no outcome yet"
        told.append((int(entry[f"attempt_at:{attempt}"]), f"attempt {attempt}: {how}"))
    for name in entry:
        if name.startswith("replayed_at:"):
            generation = name.partition(":")[2]
            reason = entry[f"replayed_reason:{generation}"]
            told.append((int(entry[name]), f"generation {generation} ({reason}) opened again"))
    if "ended_at" in entry:
        told.append((int(entry["ended_at"]), f"{entry['state']} {entry.get('reason', '')}".strip()))
    return told


def _is_data(field: str) -> bool:
    """Whether a field holds what a caller or the database said."""
    return field == "body" or field.startswith(("arguments:", "output:"))


def _when(at_ms: str) -> str:
    at = datetime.fromtimestamp(int(float(at_ms)) / 1000, UTC)
    return at.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
