"""Settings from the environment, read here alone; every mistake is reported at once."""

import os
import re
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields

_DATABASE_URL = re.compile(r"DATABASE_URL_([A-Z0-9_]+?)(_FILE)?")
_WEBHOOK_SCHEME = re.compile(r"x-hub-signature-256|standard-webhooks|bearer|header:[a-z0-9-]+|none")
_FOREIGN = {
    "CELERY_BROKER_URL": "set REDIS_URL",
    "CELERY_BROKER_READ_URL": "set REDIS_URL",
    "CELERY_BROKER_WRITE_URL": "set REDIS_URL",
    "BROKER_URL": "set REDIS_URL",
    "CELERY_RESULT_BACKEND": "outputs are kept in the ledger, LEDGER_URL",
    "RESULT_BACKEND": "outputs are kept in the ledger, LEDGER_URL",
    "CELERY_CONFIG_MODULE": "the service has a celeryconfig.py of its own",
    "CELERY_LOADER": "the service has a loader of its own",
    "CELERY_CUSTOM_WORKER_POOL": "only the prefork pool keeps time limits",
}
"""What Celery 5.7.0 and its command read behind our settings, and what to do in its place."""
_ACTIONS_SCHEME = re.compile(r"basic|bearer|header:[a-z0-9-]+")
BUILT_IN_TOOLS = Path(__file__).resolve().parent.parent / "tools"


_REDIS_URL = "must be redis://:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS"


class SettingsError(Exception):
    """The environment is wrong; the message has one line per mistake and no values."""


class Secret:
    """A text that printing, formatting and logging do not show."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"


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
        """What every client of the Redis at *url* is given beside it: redis-py's own arguments."""
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
        return [text for part in self.webhook_auth.split(",") if (text := part.strip().lower())]

    def action_secrets(self) -> list[bytes]:
        """The data actions' secrets, the current one first."""
        return _secrets(self.actions_secrets)

    def action_schemes(self) -> list[str]:
        """How a data action may prove where it comes from, in lower case."""
        return [text for part in self.actions_auth.split(",") if (text := part.strip().lower())]

    def dashboard_host_names(self) -> list[str]:
        """The host names by which browsers may reach the dashboard."""
        return [text for part in self.dashboard_hosts.split(",") if (text := part.strip().lower())]

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
    mistakes = [*mistakes, *(f"{name}: is not set (or {name}_FILE)" for name in missing)]
    if settings is None or mistakes:
        raise SettingsError("\n".join(mistakes))
    return settings


def forget_environment(prefix: str) -> None:
    """Unset, in this process, the variables that a library would read; ours were read before."""
    for name in [name for name in os.environ if name.startswith(prefix)]:
        del os.environ[name]


@cache
def _read_all() -> tuple[Settings | None, list[str]]:
    found: dict[str, Any] = {}
    mistakes = []
    for field in fields(Settings):
        name = field.name.upper()
        try:
            if field.name == "databases":
                found[field.name] = _named_databases()
            elif text := _lower_case(name) or _value(name) or _from_file(name):
                found[field.name] = convert(text, field.type, strict=False, dec_hook=_make)
        except ValidationError as mistake:
            # "Expected `int` >= 1"; that it came as text is no news
            mistakes.append(f"{name}: {str(mistake).removesuffix(', got `str`')}")
        except SettingsError as mistake:
            mistakes.append(str(mistake))
    mistakes += [
        f"{name}: Celery would follow it in place of our settings; unset it: {advice}"
        for name, advice in _FOREIGN.items()
        if os.environ.get(name)
    ]
    if mistakes:
        return None, mistakes
    settings = Settings(**found)
    if settings.run_answer_by_s >= settings.run_expires_s:
        mistakes.append("RUN_ANSWER_BY_S: must be below RUN_EXPIRES_S")
    return settings, [
        *mistakes,
        *_redis_mistakes(settings),
        *_webhook_mistakes(settings),
        *_actions_mistakes(settings),
    ]


def _make(kind: Any, text: str) -> Any:
    return kind(text)  # a Path or a Secret


def _value(variable: str) -> str:
    text = os.environ.get(variable, "").strip()
    try:
        text.encode()
    except UnicodeEncodeError:  # Python keeps such bytes as lone surrogates
        raise SettingsError(f"{variable}: is not UTF-8") from None
    return text


def _lower_case(name: str) -> str:
    """`https_proxy` and the like, which come before `HTTPS_PROXY` for requests and curl."""
    return _value(name.lower()) if name.endswith("_PROXY") else ""


def _from_file(name: str) -> str:
    """`NAME_FILE=/path` gives NAME from a file, as container secrets are mounted."""
    variable = f"{name}_FILE"
    path = _value(variable)
    return _read(variable, path) if path else ""


def _redis_mistakes(settings: Settings) -> list[str]:
    urls = {"LEDGER_URL": settings.ledger_url, "REDIS_URL": settings.redis_url}
    mistakes = [
        f"{name}: {mistake}"
        for name, url in urls.items()
        if url is not None and (mistake := _redis_url_mistake(url.reveal()))
    ]
    if settings.redis_tls_ca and not settings.redis_tls_ca.is_file():
        mistakes.append(f"REDIS_TLS_CA: {settings.redis_tls_ca} is no file")
    return mistakes


def _redis_url_mistake(text: str) -> str | None:
    """Why not all libraries that read the URL would find the same Redis; None if they would."""
    if "?" in text:
        # redis-py and kombu each know parameters that the other does not, or reads otherwise
        return (
            "takes no parameters after `?` (a `?` of a password is %3F): the database's number is "
            "the path, and TLS is set with REDIS_TLS_CA and REDIS_TLS_VERIFY"
        )
    if "#" in text or ";" in text:
        return "has a # or ; in it; in a password write %23 or %3B"
    try:
        url = urlsplit(text)
        port = url.port  # None, or it raises
    except ValueError:
        return _REDIS_URL
    is_place = port != 0 and re.fullmatch(r"/?[0-9]*", url.path) is not None
    return None if text.startswith(("redis://", "rediss://")) and is_place else _REDIS_URL


def _webhook_mistakes(settings: Settings) -> list[str]:
    schemes, mistakes = settings.webhook_schemes(), []
    if not schemes or not all(_WEBHOOK_SCHEME.fullmatch(scheme) for scheme in schemes):
        mistakes.append(
            "WEBHOOK_AUTH: must be of x-hub-signature-256, standard-webhooks, bearer, header:NAME"
        )
    if "none" in schemes and len(schemes) > 1:
        mistakes.append("WEBHOOK_AUTH: none stands alone, since it lets everyone in")
    secrets = settings.secrets()
    if "standard-webhooks" in schemes and not any(map(_is_standard_secret, secrets)):
        mistakes.append("WEBHOOK_SECRETS: standard-webhooks needs one of the form whsec_<base64>")
    return mistakes


def _actions_mistakes(settings: Settings) -> list[str]:
    schemes, mistakes = settings.action_schemes(), []
    if not schemes or not all(_ACTIONS_SCHEME.fullmatch(scheme) for scheme in schemes):
        mistakes.append("ACTIONS_AUTH: must be of basic, bearer, header:NAME")
    return mistakes


def _is_standard_secret(secret: bytes) -> bool:
    encoded = secret.removeprefix(b"whsec_")
    try:
        key = b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
        return encoded != secret and bool(key)
    except ValueError:
        return False


def _has(settings: Settings, name: str) -> bool:
    if name == "WEBHOOK_SECRETS":  # none are needed if the operator set `none`
        return bool(settings.secrets()) or settings.webhook_schemes() == ["none"]
    if name == "ACTIONS_SECRETS":
        return bool(settings.action_secrets())
    return bool(getattr(settings, name.lower()))


def _named_databases() -> dict[str, Secret]:
    """`DATABASE_URL_CRM` (or `DATABASE_URL_CRM_FILE`) is the database `crm`."""
    urls = {}
    for variable in os.environ:
        match = _DATABASE_URL.fullmatch(variable)
        if match and match[1] != "FILE":
            value = _value(variable)
            if url := _read(variable, value) if match[2] and value else value:
                urls[match[1].lower()] = Secret(url)
    return urls


def _read(variable: str, path: str) -> str:
    try:
        # "-sig": an editor on Windows puts a byte order mark first
        return Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{variable}: {path} cannot be read ({type(exc).__name__})") from exc


def _secrets(listed: Secret | None) -> list[bytes]:
    return [text.strip().encode() for text in _reveal(listed).split(",") if text.strip()]


def _reveal(secret: Secret | None) -> str:
    return secret.reveal() if secret is not None else ""
