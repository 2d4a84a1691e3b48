"""`toolworker doctor`: run every check and print each problem with what to do."""

import time
from collections.abc import Iterator, Sequence

import click

from db import catalog
from db.errors import CatalogError
from genesys import client as genesys
from genesys.pacing import rate_limiter
from ops.doctor import running, servers
from ops.doctor.result import CheckResult
from runtime import redis_trial, settings

_AGAIN_S = 0.5
_REQUIRED = (
    "REDIS_URL",
    "DATABASE_URL",
    "WEBHOOK_SECRETS",
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
)


def examine(
    *, wait_s: float, verbose: bool, also: Sequence[str] = (), before_start: bool = False
) -> bool:
    """
    Run every check and print the problems on stderr; nothing when all is well.

    A setting that is probably misspelt is a warning there, and no problem: it is a guess.

    Args:
        wait_s: How long to repeat checks whose problems may heal by themselves, in seconds.

        verbose: Print a line for each check that passed, too.

        also: Optional checks, which may take longer than 5 s: "token", "tools".

        before_start: Leave out what shows only while the service runs, and what keeps it from
            taking new runs but not from ending those that it has.

    Returns:
        Whether all is well.
    """
    for variable, meant in settings.misspelt().items():
        text = f"warning: {variable}: is no setting, and is ignored; {meant} was probably meant"
        click.echo(text, err=True)
    deadline = time.monotonic() + wait_s
    results = check(also, before_start=before_start)
    waits_for = [result.subject for result in results if result.problem is not None]
    if wait_s and _could_heal(results):
        click.echo(f"waiting for {', '.join(waits_for)} ...", err=True)
    while _could_heal(results) and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)
        results = check(also, before_start=before_start)
    for result in results:
        if result.problem is not None:
            click.echo(f"{result.subject}: {result.problem}", err=True)
        elif verbose:
            click.echo(f"{result.subject}: ok")
    return all(result.problem is None for result in results)


def _could_heal(results: list[CheckResult]) -> bool:
    """Whether waiting may solve every problem; a wrong setting needs an operator."""
    wrong = [result for result in results if result.problem is not None]
    return bool(wrong) and all(result.can_heal for result in wrong)


def check(
    also: Sequence[str], required: Sequence[str] = _REQUIRED, *, before_start: bool = False
) -> list[CheckResult]:
    """
    Run every check once; takes a second, more where a server does not answer.

    Args:
        also: See `examine`.

        required: The settings that must be there; a part of the service is not given all of them.

        before_start: See `examine`.

    Returns:
        Each result once: two parts may need the same missing setting.
    """
    results = list(dict.fromkeys(_check(also, required, before_start)))
    if before_start:  # a full Redis is emptied by the parts that would wait for it
        results = [result for result in results if result.problem != redis_trial.FULL]
    return results


def _check(
    also: Sequence[str], required: Sequence[str], before_start: bool
) -> Iterator[CheckResult]:
    values, mistakes = _settings(required)
    yield from mistakes or [CheckResult("settings")]
    if values is None:
        return
    yield from _genesys(values, required)
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
    if not before_start and values.broker():
        yield from servers.workers(values)
        yield from running.running(values)


def _settings(required: Sequence[str]) -> tuple[settings.Settings | None, list[CheckResult]]:
    try:
        return settings.load(*required), []
    except settings.SettingsError as error:
        mistakes = [_mistake(line) for line in str(error).splitlines()]
    try:
        return settings.load(), mistakes  # the other settings can still be checked
    except settings.SettingsError:
        return None, mistakes


def _mistake(line: str) -> CheckResult:
    name, _, what = line.partition(": ")
    return CheckResult(name, f"{what}; .env.example describes it")


def _genesys(values: settings.Settings, required: Sequence[str]) -> Iterator[CheckResult]:
    try:
        if "GENESYS_CLIENT_SECRET" in required:
            genesys.from_settings(values)
        else:  # a part that sends nothing there, and has no secret for it
            rate_limiter.from_settings(values)
    except settings.SettingsError as error:
        yield from (_mistake(line) for line in str(error).splitlines())
    else:
        yield CheckResult("genesys settings")


def _catalog(values: settings.Settings) -> Iterator[CheckResult]:
    try:
        loaded = catalog.load(values.tools_dir)
    except CatalogError as error:
        for mistake in error.mistakes:
            where = f"{values.tools_dir / mistake.file}:{mistake.line}"
            yield CheckResult(where, f"{mistake.message}; nothing starts until it is corrected")
        return
    known = values.database_urls()
    for tool in loaded.tools.values():
        # a missing DATABASE_URL was reported before
        if tool.database not in {*known, "default"}:
            setting = settings.database_setting(tool.database)
            yield CheckResult(
                f"tool {tool.name}", f"queries database {tool.database}; set {setting}"
            )
    yield CheckResult(f"{len(loaded.tools)} tools in {values.tools_dir}")


def _tools(values: settings.Settings) -> list[catalog.Tool]:
    try:
        return list(catalog.load(values.tools_dir).tools.values())
    except CatalogError:  # reported before
        return []
