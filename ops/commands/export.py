"""Options and steps of `toolworker tools export` and of `tools check --for`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from db.catalog import Tool
    from db.lint.finding import Finding
    from ops.exports.shape import Options

FORMATS = ("openai", "genesys-action", "genesys-action-api", "terraform", "ava")
TARGETS = ("genesys-action", "ava", "guide")

_AUTH = re.compile(r"basic|bearer|header:[A-Za-z0-9-]+")
# what a format's tools must pass; guides call the same actions
_TARGET_OF = {"ava": "ava"}


def with_export_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* `form`, `out` and `options`."""

    def called(
        folder: Path | None,
        form: str,
        out: Path | None,
        url: str,
        auth: str,
        errors: str,
        timeout_s: int,
        category: str,
        integration_id: str,
        *,
        conversation_id: bool,
    ) -> None:
        from ops.exports.shape import Options

        if not _AUTH.fullmatch(auth):
            raise click.BadParameter("must be basic, bearer or header:NAME", param_hint="--auth")
        if form not in ("openai", "ava") and not url:
            text = (
                "--url names where Genesys reaches the endpoint, such as https://tools.example.com"
            )
            raise click.UsageError(text)
        if form not in ("openai", "ava") and not re.fullmatch(r"https://[^/?#]+/?", url):
            raise click.BadParameter("must be https:// and a host alone", param_hint="--url")
        if form == "ava" and errors != "status":
            raise click.BadParameter("agents read the status alone", param_hint="--errors")
        if "function data action" in re.sub("[_-]", " ", category.lower()):
            # Terraform's provider would want the code of a function
            raise click.BadParameter("names function data actions", param_hint="--category")
        options = Options(
            url=url,
            auth=auth,
            is_in_band=errors == "inband",
            timeout_s=timeout_s,
            category=category,
            integration_id=integration_id,
            has_conversation_id=conversation_id,
        )
        command(folder, form, out, options)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    for option in reversed(_OPTIONS):
        called = option(called)
    return called


def checked_for(targets: Sequence[str], folder: Path | None) -> Iterator[Finding]:
    """Findings of the lint for Genesys' products; the tools must load."""
    if not targets:
        return
    from db.catalog.definition import read_definition
    from db.lint.finding import Finding
    from ops.exports.lint import findings
    from runtime import settings

    paths = sorted((folder or settings.load().tools_dir).iterdir())
    folders = [p for p in paths if p.is_dir() and not p.name.startswith((".", "_"))]
    read = [definition for path in folders if (definition := read_definition(path)[0])]
    seen = set()
    for target in targets:
        for mistake, is_warning in findings(read, target):
            if mistake not in seen:
                seen.add(mistake)
                yield Finding(mistake, is_warning=is_warning)


def openai_functions(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """The tools as the assistant is given them, in OpenAI's form of function calling."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.model_parameters,
            },
        }
        for tool in tools
    ]


def write_export(
    tools: Sequence[Tool], form: str, out: Path | None, options: Options, folder: Path | None
) -> None:
    """
    Write one of Genesys' formats, unless a tool breaks its rules.

    Raises:
        CatalogError: What is broken; nothing is written then.
    """
    from db.errors import CatalogError
    from ops.exports.files import write

    if out is None:
        raise click.UsageError("--out names the folder for the files")
    found = checked_for((_TARGET_OF.get(form, "genesys-action"),), folder)
    wrong = tuple(finding.mistake for finding in found if not finding.is_warning)
    if wrong:
        raise CatalogError(wrong)
    for line in write(tools, form, options, out):
        click.echo(line)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--format", "form", type=click.Choice(FORMATS), default="openai"),
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="The folder for the files of Genesys' formats.",
    ),
    click.option("--url", default="", help="Where Genesys reaches the endpoint: https://host."),
    click.option(
        "--auth",
        default="header:X-API-Key",
        show_default=True,
        help="How actions bring the secret: header:NAME, bearer or basic.",
    ),
    click.option(
        "--errors",
        type=click.Choice(["status", "inband"]),
        default="status",
        show_default=True,
        help="For agents the status; inband for Architect and guides.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.IntRange(1, 60),
        default=10,
        show_default=True,
        help="Of an action, in seconds.",
    ),
    click.option(
        "--category",
        default="toolworker",
        show_default=True,
        help="Of actions, and the first word of their names.",
    ),
    click.option(
        "--integration-id",
        default="00000000-0000-0000-0000-000000000000",
        help="Of the web-services integration, for genesys-action-api.",
    ),
    click.option(
        "--conversation-id", is_flag=True, help="Give actions an input conversationId for the logs."
    ),
)
