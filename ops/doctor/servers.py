"""Checks of servers: Redis, Postgres, Genesys' token endpoint, the workers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis

from db import catalog, causes, connection
from db.errors import CatalogError, Unavailable
from db.lint import live
from genesys.auth.probe import verify_credentials
from genesys.errors import GenesysError
from ops.doctor.result import CheckResult
from runtime import redis_trial, settings

_TIMEOUT_S = 2.0
_SLOW_MS = 250
"""Accepting a run is one step of the ledger, and a 202 must be out within a second."""
_CLOCK_S = 30
"""Signed timestamps of Standard Webhooks may be 300 s off."""
_OLDEST = (6, 2)
"""The first Redis that takes ZRANGE … BYSCORE."""

_CERTIFICATE = (
    "its certificate is not trusted, or is another host's: set REDIS_TLS_CA to the file of the "
    "authority that signed it, and use the host name that it has"
)


def redis_server(
    setting: str,
    url: str,
    *,
    is_ledger: bool,
    is_broker: bool,
    tls: Mapping[str, Any] | None = None,
) -> Iterator[CheckResult]:
    """Check that Redis answers, has the commands we need, is quick, and keeps its data."""
    if not url:
        return
    try:
        with redis.Redis.from_url(
            url,
            **(tls or {}),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            decode_responses=True,
        ) as client:
            client.ping()
            problems = redis_trial.lacks(client, is_broker=is_broker)
            problems += _problems(client, is_ledger=is_ledger, is_broker=is_broker)
    except redis.AuthenticationError:
        yield CheckResult(setting, "Redis refuses the password; it goes before the @ in the URL")
    except redis.ConnectionError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            yield CheckResult(setting, _CERTIFICATE)
        else:
            yield _no_answer(setting, error)
    except redis.RedisError as error:
        yield _no_answer(setting, error)
    else:
        yield from (CheckResult(setting, problem) for problem in problems)
        if not problems:
            yield CheckResult(setting, can_heal=True)


def _no_answer(setting: str, error: redis.RedisError) -> CheckResult:
    problem = f"no Redis answers there ({type(error).__name__}); is it started?"
    return CheckResult(setting, problem, can_heal=True)


def _problems(client: redis.Redis, *, is_ledger: bool, is_broker: bool) -> Iterator[str]:
    version = client.info("server")["redis_version"]
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        yield f"Redis is {version}; 6.2 or newer is needed"
    times = []
    for _ in range(5):
        began = time.monotonic()
        client.ping()
        times.append((time.monotonic() - began) * 1000)
    if sorted(times)[2] > _SLOW_MS:
        yield f"a PING takes {sorted(times)[2]:.0f} ms; run it nearer to the receiver"
    offset_s = client.time()[0] - time.time()
    if abs(offset_s) > _CLOCK_S:
        yield f"its clock is {offset_s:+.0f} s from ours; set both by NTP"
    policy = _config(client, "maxmemory-policy")
    if policy not in ("noeviction", None):
        what = "accepted runs" if is_ledger else "messages"
        yield f"maxmemory-policy is {policy}, which evicts {what}; set it to noeviction"
    if is_ledger and _config(client, "maxmemory") == "0":
        yield (
            "maxmemory is 0: Redis grows until the kernel kills it, and again at each start; "
            "set it to about 70 % of the memory that Redis may use"
        )
    if is_ledger and _config(client, "appendonly") == "no":
        yield "appendonly is no: a restart forgets accepted runs; set appendonly yes"
    elif is_ledger and not is_broker and _config(client, "appendfsync") not in ("always", None):
        yield (
            "appendfsync is not always: a power loss takes up to two seconds of accepted runs; "
            "set it to always, which only the ledger needs"
        )


def _config(client: redis.Redis, name: str) -> str | None:
    """A setting of the server; None where CONFIG is forbidden, as on hosted ones."""
    try:
        return client.config_get(name).get(name)
    except redis.ResponseError:
        return None


def database(name: str, url: str, tools: Sequence[catalog.Tool]) -> Iterator[CheckResult]:
    """Check that Postgres answers, its role may only read, and each of *tools* can be prepared."""
    setting = settings.database_setting(name)
    try:
        # as a call does it, which is more than connecting: a pooler may refuse a transaction
        cause = connection.problems({name: url}).get(name)
        if cause is not None:
            yield CheckResult(setting, cause, can_heal=causes.can_heal(cause))
            return
        findings = list(live.examine(url, name, tools))
    except settings.SettingsError as error:
        yield CheckResult(setting, str(error).removeprefix(f"{setting}: "))
        return
    except Unavailable as error:
        yield CheckResult(setting, str(error), can_heal=causes.can_heal(str(error)))
        return
    for found in findings:
        mistake = found.mistake
        is_role = mistake.file == setting
        if is_role or not found.is_warning:
            where = setting if is_role else f"{mistake.file}:{mistake.line}"
            yield CheckResult(where, mistake.message)
    if not findings:
        yield CheckResult(setting, can_heal=True)


def token(values: settings.Settings) -> Iterator[CheckResult]:
    """Check that Genesys issues a token for our credentials."""
    try:
        verify_credentials(values)
    except settings.SettingsError:
        return  # reported before
    except GenesysError as error:
        yield CheckResult("genesys token", str(error))
    else:
        yield CheckResult("genesys token")


def workers(values: settings.Settings) -> Iterator[CheckResult]:
    """Check that workers answer, and that their tools are the same as here."""
    from tasks import fleet

    try:
        found = fleet.catalogs() or fleet.catalogs()  # once more, on a busy machine
    except fleet.BrokerUnavailable:
        return  # reported before
    if not found:
        problem = (
            "none answers; start one (docker compose up -d worker): docs/runbooks/no-worker.md"
        )
        yield CheckResult("workers", problem, can_heal=True)
    try:
        ours = catalog.load(values.tools_dir).digest
    except CatalogError:
        return
    for node, digest in sorted(found.items()):
        if digest == ours:
            yield CheckResult(f"worker {node}")
        else:
            problem = (
                f"its tools differ from those in {values.tools_dir}; run: toolworker tools reload "
                "(docs/runbooks/catalogs-differ.md)"
            )
            yield CheckResult(f"worker {node}", problem)
