"""Report of `toolworker tools check`: its options, and the findings on tool folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ops.commands.export import TARGETS, checked_for
from ops.commands.tables import show_json

if TYPE_CHECKING:
    from db.catalog import Catalog
    from db.errors import Mistake
    from db.lint.finding import Finding


def with_check_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* `is_live`, `tries_s` and `targets`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show_check(
    folder: Path | None, *, is_live: bool, tries_s: float, targets: Sequence[str], as_json: bool
) -> bool:
    """
    Print each mistake and warning of the tools in *folder*, or in `TOOLS_DIR`.

    Args:
        is_live: Also try each statement on its database.

        tries_s: Seconds for that with the samples of one tool.

        targets: Genesys' products whose rules must hold, too.

    Returns:
        Whether there is no mistake.

    Raises:
        ClickException: A database cannot be reached; nothing was printed.
    """
    from db import catalog
    from db.errors import CatalogError
    from db.lint import offline
    from runtime import settings

    folder = folder or settings.load().tools_dir
    count = 0
    findings: list[Finding] = []
    try:
        loaded = catalog.load(folder)
        count = len(loaded.tools)
        findings = list(offline.warnings(folder))
        if is_live:
            findings += _live(loaded, tries_s)
        findings += checked_for(targets, folder)
    except CatalogError as refused:
        findings = _mistakes(refused.mistakes)
    is_sound = all(finding.is_warning for finding in findings)
    if as_json:
        show_json([_as_json(finding) for finding in findings])
    else:
        _show(findings)
        if is_sound:
            warned = f", {len(findings)} to look at" if findings else ""
            click.echo(f"{count} tool{'' if count == 1 else 's'}, no mistakes{warned}")
    return is_sound


def _live(loaded: Catalog, tries_s: float) -> Iterator[Finding]:
    from db.errors import Unavailable
    from db.lint import live
    from runtime import settings

    urls = settings.load("DATABASE_URL").database_urls()
    yield from _mistakes(loaded.without_database(urls))
    tools = sorted(loaded.tools.values(), key=lambda tool: tool.name)
    for name, url in sorted(urls.items()):
        queried = [tool for tool in tools if tool.database == name]
        if queried:
            try:
                yield from live.examine(url, name, queried, tries_s=tries_s)
            except Unavailable as exc:
                raise click.ClickException(f"database {name}: {exc}") from exc


def _mistakes(mistakes: Sequence[Mistake]) -> list[Finding]:
    from db.lint.finding import Finding

    return [Finding(mistake) for mistake in mistakes]


def _show(findings: Sequence[Finding]) -> None:
    for finding in findings:
        found = finding.mistake
        word = "warning: " if finding.is_warning else ""
        click.echo(f"{found.file}:{found.line}: {word}{found.message}")


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.mistake.file,
        "line": finding.mistake.line,
        "message": finding.mistake.message,
        "is_warning": finding.is_warning,
    }


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--database",
        "is_live",
        is_flag=True,
        help="Also try each statement, read-only.",
    ),
    click.option(
        "--seconds",
        "tries_s",
        type=click.FloatRange(min=1),
        default=5,
        show_default=True,
        help="With --database: for the sample arguments of one tool.",
    ),
    click.option(
        "--for",
        "targets",
        multiple=True,
        type=click.Choice(TARGETS),
        help="Also hold tools against the rules of a Genesys product.",
    ),
)
