"""`toolworker doctor`: what keeps the service from working, a line each, with what to do."""

import time
from collections.abc import Iterator, Sequence

import click

from db import catalog
from db.errors import CatalogError
from genesys import client as genesys
from ops import doctor_servers as servers
from ops.findings import Finding
from runtime import settings

_AGAIN_S = 0.5
_REQUIRED = (
    "REDIS_URL",
    "DATABASE_URL",
    "WEBHOOK_SECRETS",
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
)


def examine(*, wait_s: float, verbose: bool, also: Sequence[str] = ()) -> bool:
    """
    Look at everything and print what is wrong on stderr; nothing when all is well.

    Args:
        wait_s: How long to look again and again at what may heal by itself, in seconds.

        verbose: Print a line for what is well, too.

        also: What is looked at only when it is asked for: "token", "workers", "tools".

    Returns:
        Whether all is well.
    """
    deadline = time.monotonic() + wait_s
    findings = look(also)
    waits_for = [finding.subject for finding in findings if finding.advice is not None]
    if wait_s and _could_heal(findings):
        click.echo(f"waiting for {', '.join(waits_for)} ...", err=True)
    while _could_heal(findings) and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)
        findings = look(also)
    for finding in findings:
        if finding.advice is not None:
            click.echo(f"{finding.subject}: {finding.advice}", err=True)
        elif verbose:
            click.echo(f"{finding.subject}: ok")
    return all(finding.advice is None for finding in findings)


def _could_heal(findings: list[Finding]) -> bool:
    """Waiting is in vain while anything is wrong that only a person can mend."""
    wrong = [finding for finding in findings if finding.advice is not None]
    return bool(wrong) and all(finding.can_heal for finding in wrong)


def look(also: Sequence[str], required: Sequence[str] = _REQUIRED) -> list[Finding]:
    """
    Look at everything once; takes a second, more where a server does not answer.

    Args:
        also: See `examine`.

        required: The settings that must be there; a part of the service has not all of them.

    Returns:
        Each finding once: two parts may miss the same setting.
    """
    return list(dict.fromkeys(_look(also, required)))


def _look(also: Sequence[str], required: Sequence[str]) -> Iterator[Finding]:
    values, mistakes = _settings(required)
    yield from mistakes or [Finding("settings")]
    if values is None:
        return
    yield from _genesys(values)
    yield from _catalog(values)
    is_shared = values.ledger() == values.broker()
    urls = {"REDIS_URL": values.broker()} | ({} if is_shared else {"LEDGER_URL": values.ledger()})
    for name, url in urls.items():
        yield from servers.redis_server(
            name,
            url,
            is_ledger=is_shared or name == "LEDGER_URL",
            is_broker=name == "REDIS_URL",
            tls=values.redis_tls(url),
        )
    tools = _tools(values) if "tools" in also else []
    for name, url in sorted(values.database_urls().items()):
        yield from servers.database(name, url, [tool for tool in tools if tool.database == name])
    if "token" in also:
        yield from servers.token(values)
    if "workers" in also:
        yield from servers.workers(values)


def _settings(required: Sequence[str]) -> tuple[settings.Settings | None, list[Finding]]:
    try:
        return settings.load(*required), []
    except settings.SettingsError as error:
        mistakes = [_mistake(line) for line in str(error).splitlines()]
    try:
        return settings.load(), mistakes  # what is there is still worth a look
    except settings.SettingsError:
        return None, mistakes


def _mistake(line: str) -> Finding:
    name, _, what = line.partition(": ")
    return Finding(name, f"{what}; .env.example says what it is for")


def _genesys(values: settings.Settings) -> Iterator[Finding]:
    try:
        genesys.from_settings(values)
    except settings.SettingsError as error:
        yield from (_mistake(line) for line in str(error).splitlines())
    else:
        yield Finding("genesys settings")


def _catalog(values: settings.Settings) -> Iterator[Finding]:
    try:
        loaded = catalog.load(values.tools_dir)
    except CatalogError as error:
        for mistake in error.mistakes:
            where = f"{values.tools_dir / mistake.file}:{mistake.line}"
            yield Finding(where, f"{mistake.message}; nothing starts until it is mended")
        return
    known = values.database_urls()
    for tool in loaded.tools.values():
        # a missing DATABASE_URL was said before
        if tool.database not in {*known, "default"}:
            setting = settings.database_setting(tool.database)
            yield Finding(f"tool {tool.name}", f"asks database {tool.database}; set {setting}")
    yield Finding(f"{len(loaded.tools)} tools in {values.tools_dir}")


def _tools(values: settings.Settings) -> list[catalog.Tool]:
    try:
        return list(catalog.load(values.tools_dir).tools.values())
    except CatalogError:  # said before
        return []
