"""Settings of all services: types, defaults and what follows from them; all mistakes at once."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from runtime import environment, foreign, misspellings, settings_rules
from runtime.environment import SettingsError as SettingsError

BUILT_IN_TOOLS = Path(__file__).resolve().parent.parent / "tools"


class Secret:
    """A text that printing, formatting and logging do not show."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_Count = Annotated[int, Meta(ge=1)]
_Retention = Annotated[int, Meta(ge=60, le=31_536_000)]  # a year at most


class Settings(Struct, frozen=True, kw_only=True):
    """Every setting with unit and default; `.env.example` says why. Secrets never print."""

    redis_url: Secret | None = None
    ledger_url: Secret | None = None
    redis_tls_ca: Path | None = None
    redis_tls_verify: bool = True
    database_url: Secret | None = None
    databases: Mapping[str, Secret] = {}

    genesys_region: str | None = None
    genesys_base_url: str | None = None
    genesys_login_url: str | None = None
    genesys_allow_http: bool = False
    genesys_client_id: str | None = None
    genesys_client_secret: Secret | None = None
    genesys_scope: str = "ai:assistant:run:write"
    genesys_submit_path: str = "/api/v2/ai/assistants/runs/{run_id}/tool_calls"
    genesys_list_key: str = "tool_calls"
    genesys_requests_per_minute: _Count = 300
    genesys_max_attempts: _Count | None = None
    genesys_retry_base_s: Annotated[float, Meta(ge=0.1, le=60)] = 1.0

    # as requests and curl name them; a proxy's URL may hold a password
    https_proxy: Secret | None = None
    http_proxy: Secret | None = None
    all_proxy: Secret | None = None
    no_proxy: str | None = None
    requests_ca_bundle: str | None = None
    curl_ca_bundle: str | None = None
    ssl_cert_file: str | None = None

    webhook_secrets: Secret | None = None
    webhook_auth: str = "x-hub-signature-256"
    webhook_bind_headers: str = ""
    webhook_bind_unsigned: bool = False

    actions_secrets: Secret | None = None
    actions_auth: str = "basic,bearer,header:x-api-key"
    actions_at_once: Annotated[int, Meta(ge=1, le=500)] = 50

    tools_dir: Path = BUILT_IN_TOOLS

    flower_password: Secret | None = None
    dashboard_password: Secret | None = None
    dashboard_admin_password: Secret | None = None
    dashboard_hosts: str = "localhost,127.0.0.1"
    dashboard_flower_url: str | None = None
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    debug_solo_pool: bool = False

    # what doctor and reconcilers look at besides, where they can
    receiver_url: str | None = None
    tls_endpoint: Annotated[str, Meta(pattern=r"^[^/\s]+:[0-9]+$")] | None = None
    ledger_disk: Path | None = None
    broker_disk: Path | None = None

    # as OpenTelemetry names them; the SDK itself is given these and reads none
    otel_exporter_otlp_endpoint: Secret | None = None  # it may hold a password
    otel_exporter_otlp_headers: Secret | None = None
    otel_exporter_otlp_certificate: Path | None = None
    otel_service_name: str = "toolworker"
    trace_share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    trace_slow_s: Annotated[float, Meta(ge=0.001, le=604_800)] = 5.0

    alert_url: Secret | None = None
    alert_secret: Secret | None = None

    # a week at most: an upper bound also refuses "inf"
    run_answer_by_s: Annotated[float, Meta(ge=3, le=600)] = 30
    run_expires_s: Annotated[float, Meta(ge=5, le=604_800)] = 600
    run_max_wait_s: Annotated[float, Meta(ge=1, le=604_800)] = 15
    run_max_waiting: _Count = 10000
    run_retention_s: _Retention = 86400
    dead_letter_retention_s: _Retention = 604800

    def ledger(self) -> str:
        """The URL of the ledger's Redis: `LEDGER_URL`, else `REDIS_URL`."""
        return _reveal(self.ledger_url) or _reveal(self.redis_url)

    def broker(self) -> str:
        """The URL of Celery's Redis."""
        return _reveal(self.redis_url)

    def redis_tls(self, url: str) -> dict[str, Any]:
        """TLS arguments of redis-py for every client of the Redis at *url*."""
        if not url.startswith("rediss://"):
            return {}
        if not self.redis_tls_verify:
            return {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
        verified: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        return verified | ({"ssl_ca_certs": str(self.redis_tls_ca)} if self.redis_tls_ca else {})

    def secrets(self) -> list[bytes]:
        """The webhook secrets, the current one first."""
        return _secrets(self.webhook_secrets)

    def webhook_schemes(self) -> list[str]:
        """How a delivery may prove where it comes from, in lower case."""
        return _listed(self.webhook_auth)

    def bind_headers(self) -> list[str]:
        """The headers that tools may bind because the proxy sets them, in lower case."""
        return _listed(self.webhook_bind_headers)

    def action_secrets(self) -> list[bytes]:
        """The data actions' secrets, the current one first."""
        return _secrets(self.actions_secrets)

    def action_schemes(self) -> list[str]:
        """How a data action may prove where it comes from, in lower case."""
        return _listed(self.actions_auth)

    def dashboard_host_names(self) -> list[str]:
        """The host names by which browsers may reach the dashboard."""
        return [text for part in self.dashboard_hosts.split(",") if (text := part.strip().lower())]

    def otlp_headers(self) -> dict[str, str]:
        """Headers of each export; empty when they cannot be read."""
        pairs = [
            part.partition("=") for part in _reveal(self.otel_exporter_otlp_headers).split(",")
        ]
        headers = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
        # what requests or the server would refuse, on each export
        is_good = all(
            _HEADER_NAME.fullmatch(name) and value and value.isascii() and value.isprintable()
            for name, value in headers.items()
        )
        return headers if is_good else {}

    def database_urls(self) -> dict[str, str]:
        """Database name in lower case to URL; `default` is `DATABASE_URL`."""
        urls = {name: url.reveal() for name, url in self.databases.items()}
        if self.database_url is not None:
            urls["default"] = self.database_url.reveal()
        return urls


def database_setting(name: str) -> str:
    """The variable that holds the URL of the database *name*."""
    return "DATABASE_URL" if name == "default" else f"DATABASE_URL_{name.upper()}"


def load(*required: str) -> Settings:
    """
    The settings of this process; read once, so a change needs a restart.

    Args:
        required: Names such as "REDIS_URL" that this part cannot do without.

    Raises:
        SettingsError: One line for each value that is missing or out of range.
    """
    settings, mistakes = _read_all()
    missing = [name for name in required if settings and not _has(settings, name)]
    meant = {name: variable for variable, name in misspelt().items()} if missing else {}
    for name in missing:
        variable = meant.get(name) or meant.get(f"{name}_FILE")
        hint = f"; {variable} is set, but is no setting" if variable else ""
        mistakes = [*mistakes, f"{name}: is not set (or {name}_FILE){hint}"]
    if settings is None or mistakes:
        raise SettingsError("\n".join(mistakes))
    return settings


def misspelt() -> dict[str, str]:
    """
    Variables of the environment that are nearly settings, each with the one probably meant.

    A guess, and so a warning at most. Names alone, no values.
    """
    databases = environment.database_variables()
    ours = [field.name.upper() for field in fields(Settings) if field.name != "databases"]
    # beside databases with names there need be no other
    names = [name for name in ours if not (databases and name == "DATABASE_URL")]
    variables = environment.variables()
    return misspellings.misspelt(variables, names, {*databases, *foreign.refusals(variables)})


@cache
def _read_all() -> tuple[Settings | None, list[str]]:
    found: dict[str, Any] = {}
    mistakes = []
    for field in fields(Settings):
        name = field.name.upper()
        try:
            if field.name == "databases":
                found[field.name] = {k: Secret(url) for k, url in environment.databases().items()}
            elif text := environment.value_of(name):
                found[field.name] = convert(text, field.type, strict=False, dec_hook=_make)
        except ValidationError as mistake:
            # "Expected `int` >= 1"; every value of the environment is a str
            mistakes.append(f"{name}: {str(mistake).removesuffix(', got `str`')}")
        except SettingsError as mistake:
            mistakes.append(str(mistake))
    refused = foreign.refusals(environment.variables())
    mistakes += [f"{name}: {what}" for name, what in refused.items()]
    if mistakes:
        return None, mistakes
    settings = Settings(**found)
    return settings, settings_rules.mistakes(settings)


def _make(kind: Any, text: str) -> Any:
    return kind(text)  # a Path or a Secret


def _has(settings: Settings, name: str) -> bool:
    if name == "WEBHOOK_SECRETS":  # none are needed if the operator set `none`
        return bool(settings.secrets()) or settings.webhook_schemes() == ["none"]
    if name == "ACTIONS_SECRETS":
        return bool(settings.action_secrets())
    return bool(getattr(settings, name.lower()))


def _listed(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip().lower())]


def _secrets(listed: Secret | None) -> list[bytes]:
    return [text.strip().encode() for text in _reveal(listed).split(",") if text.strip()]


def _reveal(secret: Secret | None) -> str:
    return secret.reveal() if secret is not None else ""
