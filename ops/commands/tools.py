"""`toolworker tools`: write, check, test, call and export tools."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ops.commands.check import show_check, with_check_options
from ops.commands.export import openai_functions, with_export_options, write_export
from ops.commands.tables import show_json

if TYPE_CHECKING:
    from db.catalog import Catalog, Tool
    from ops.exports.shape import Options


@click.group()
def tools() -> None:
    """Write, check, test, call and export tools."""


_DIR = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The tool folders.  [default: TOOLS_DIR]",
)
_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@tools.command("list")
@_DIR
@_OUTPUT
def list_tools(folder: Path | None, output: str) -> None:
    """List the tools, one a line."""
    found = _sorted(_catalog(folder))
    if output == "json":
        listed = [
            {"name": tool.name, "description": tool.description, "database": tool.database}
            for tool in found
        ]
        show_json(listed)
        return
    for tool in found:
        click.echo(f"{tool.name:<24} {tool.description}")


@tools.command()
@_DIR
@with_check_options
@_OUTPUT
def check(
    folder: Path | None, *, is_live: bool, tries_s: float, targets: tuple[str, ...], output: str
) -> None:
    """List every mistake and warning of every tool, with file and line; exit 1 for a mistake."""
    is_sound = show_check(
        folder, is_live=is_live, tries_s=tries_s, targets=targets, as_json=output == "json"
    )
    raise SystemExit(0 if is_sound else 1)


@tools.command()
@click.argument("name")
@_DIR
def new(name: str, folder: Path | None) -> None:
    """Write a folder that passes the check, as the start of a tool."""
    from ops.commands.new_tool import begin
    from runtime import settings

    for path in begin(folder or settings.load().tools_dir, name):
        click.echo(path)


@tools.command()
@click.argument("names", nargs=-1)
@_DIR
@_OUTPUT
def test(names: tuple[str, ...], folder: Path | None, output: str) -> None:
    """Run every example of the tools (or of NAMES); exit 1 if an output differs."""
    from ops.commands.examples import run_examples

    catalog = _catalog(folder)
    chosen = [_find(catalog, name) for name in names] or _sorted(catalog)
    with _databases(catalog) as databases:
        _reach(databases, {tool.database for tool in chosen})
        results = [result for tool in chosen for result in run_examples(catalog, databases, tool)]
    failed = [result for result in results if result.difference]
    if output == "json":
        listed = [
            {"tool": r.tool, "example": r.number, "took_ms": r.took_ms, "difference": r.difference}
            for r in results
        ]
        show_json(listed)
    else:
        for result in results:
            word = "differs" if result.difference else "ok"
            click.echo(f"{result.tool} example {result.number}: {word} ({result.took_ms} ms)")
            if result.difference:
                click.echo(result.difference)
        click.echo(f"{len(results) - len(failed)} of {len(results)} examples as expected")
    raise SystemExit(1 if failed else 0)


@tools.command()
@click.argument("name")
@click.argument("arguments")
@click.option(
    "--bound", default="{}", help="What the tool binds: a JSON object, value by property."
)
@_DIR
def call(name: str, arguments: str, bound: str, folder: Path | None) -> None:
    """Run one call as a worker would; ARGUMENTS is a JSON object. Exit 1 for an error output."""
    from ops.diagnosis.tool_call import call_tool, read_bound

    try:
        values = read_bound(bound)
    except ValueError as exc:
        raise click.BadParameter("must be a JSON object", param_hint="--bound") from exc
    catalog = _catalog(folder)
    with _databases(catalog) as databases:
        began = time.monotonic()
        output = call_tool(catalog, databases, name, arguments, values)
        took_ms = (time.monotonic() - began) * 1000
    show_json(json.loads(output), output)
    click.echo(f"{took_ms:.1f} ms, {len(output.encode())} bytes", err=True)
    unbound = {n: "…" for n in _bound_by(catalog, name) if n not in values}
    if unbound:
        written = json.dumps(unbound, ensure_ascii=False).replace('"…"', "…")
        click.echo(f"{name} binds {', '.join(unbound)}: give --bound '{written}'", err=True)
    raise SystemExit(1 if '"error":' in output and "code" in json.loads(output) else 0)


@tools.command()
def reload() -> None:
    """Let running workers load their tool folders anew; exit 1 if one keeps what it had."""
    from ops.commands.reload import reload_tools
    from tasks.fleet import BrokerUnavailable

    try:
        lines = list(reload_tools())
    except BrokerUnavailable as error:
        text = f"the broker did not reply: {error}; is Redis up? try: toolworker doctor"
        raise click.ClickException(text) from error
    for line, _ in lines:
        click.echo(line)
    raise SystemExit(0 if all(is_well for _, is_well in lines) else 1)


@tools.command()
@_DIR
@with_export_options
def export(folder: Path | None, form: str, out: Path | None, options: Options) -> None:
    """Print or write what the assistant, or Genesys, is given; equal tools, equal bytes."""
    if form != "openai":
        write_export(_sorted(_catalog(folder)), form, out, options, folder)
        return
    show_json(openai_functions(_sorted(_catalog(folder))))


def _catalog(folder: Path | None) -> Catalog:
    from db import catalog
    from runtime import settings

    return catalog.load(folder or settings.load().tools_dir)


def _sorted(catalog: Catalog) -> list[Tool]:
    return sorted(catalog.tools.values(), key=lambda tool: tool.name)


def _find(catalog: Catalog, name: str) -> Tool:
    if name not in catalog.tools:
        known = ", ".join(sorted(catalog.tools))
        raise click.BadParameter(f"there is no tool {name}; known: {known}")
    return catalog.tools[name]


def _bound_by(catalog: Catalog, name: str) -> tuple[str, ...]:
    return tuple(catalog.tools[name].bind) if name in catalog.tools else ()


def _databases(catalog: Catalog) -> Any:
    from db.errors import CatalogError
    from ops.diagnosis.tool_call import opened
    from runtime import settings

    urls = settings.load("DATABASE_URL").database_urls()
    missing = catalog.without_database(urls)
    if missing:
        raise CatalogError(missing)
    return opened(urls)


def _reach(databases: Any, names: set[str]) -> None:
    """
    Query each database for nothing, so that an outage is one sentence.

    Raises:
        ClickException: One cannot be reached.
    """
    from db.errors import Unavailable

    for name in sorted(names):
        try:
            databases.ping(name)
        except Unavailable as exc:
            raise click.ClickException(f"database {name}: {exc}") from exc
