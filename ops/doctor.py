"""`toolworker doctor`: what keeps the service from working, a line each, with what to do."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import click
import redis

from db import catalog, pool
from db.errors import CatalogError, ToolError, Unavailable
from genesys import client as genesys
from runtime import settings

_TIMEOUT_S = 2.0
_AGAIN_S = 0.5
_REQUIRED = (
    "REDIS_URL",
    "DATABASE_URL",
    "WEBHOOK_SECRETS",
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` is None when it is well, `can_heal` when waiting may help."""

    subject: str
    advice: str | None = None
    can_heal: bool = False


def examine(*, wait_s: float, verbose: bool) -> bool:
    """
    Look at everything and print what is wrong on stderr; nothing when all is well.

    Args:
        wait_s: How long to look again and again at what may heal by itself, in seconds.

        verbose: Print a line for what is well, too.

    Returns:
        Whether all is well.
    """
    deadline = time.monotonic() + wait_s
    findings = _look_once()
    waits_for = [finding.subject for finding in findings if finding.advice is not None]
    if wait_s and _could_heal(findings):
        click.echo(f"waiting for {', '.join(waits_for)} ...", err=True)
    while _could_heal(findings) and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)
        findings = _look_once()
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


def _look_once() -> list[Finding]:
    """Each finding once: two parts may miss the same setting."""
    return list(dict.fromkeys(_look()))


def _look() -> Iterator[Finding]:
    values, mistakes = _settings()
    yield from mistakes or [Finding("settings")]
    if values is None:
        return
    yield from _genesys(values)
    yield from _catalog(values)
    yield from _redis("REDIS_URL", values.broker())
    if values.ledger() != values.broker():
        yield from _redis("LEDGER_URL", values.ledger())
    yield from _databases(values)


def _settings() -> tuple[settings.Settings | None, list[Finding]]:
    try:
        return settings.load(*_REQUIRED), []
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
            setting = f"DATABASE_URL_{tool.database.upper()}"
            yield Finding(f"tool {tool.name}", f"asks database {tool.database}; set {setting}")
    yield Finding(f"{len(loaded.tools)} tools in {values.tools_dir}")


def _redis(setting: str, url: str) -> Iterator[Finding]:
    if not url:
        return
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        ) as client:
            client.ping()
    except ValueError as error:
        yield Finding(setting, f"{error}; it begins with redis:// or rediss://")
    except redis.AuthenticationError:
        yield Finding(setting, "Redis wants another password; it goes before the @ in the URL")
    except redis.RedisError as error:
        kind = type(error).__name__
        yield Finding(setting, f"no Redis answers there ({kind}); is it started?", can_heal=True)
    else:
        yield Finding(setting, can_heal=True)


def _databases(values: settings.Settings) -> Iterator[Finding]:
    urls = values.database_urls()
    # the pool logs each failed attempt; the finding says it once
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    databases = pool.Databases(urls)
    databases.open()
    try:
        for name in sorted(urls):
            setting = "DATABASE_URL" if name == "default" else f"DATABASE_URL_{name.upper()}"
            try:
                databases.ping(name)
            except (Unavailable, ToolError) as error:
                advice = f"{error}; is Postgres started, and are role and password right?"
                yield Finding(setting, advice, can_heal=True)
            else:
                yield Finding(setting, can_heal=True)
    finally:
        databases.close()
