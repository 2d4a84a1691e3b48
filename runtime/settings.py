"""The environment, read here and nowhere else; every mistake is reported at once."""

import os
import re
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

_DATABASE_URL = re.compile(r"DATABASE_URL_([A-Z0-9_]+?)(_FILE)?")
_WEBHOOK_SCHEME = re.compile(r"x-hub-signature-256|standard-webhooks|bearer|header:[a-z0-9-]+|none")
_BUILT_IN_TOOLS = Path(__file__).resolve().parent.parent / "tools"


class SettingsError(Exception):
    """The environment is wrong; the message has one line per mistake and no values."""


class Settings(BaseSettings):
    """Every setting with unit and default; `.env.example` says why. Secrets never print."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    redis_url: SecretStr | None = None
    ledger_url: SecretStr | None = None
    database_url: SecretStr | None = None
    databases: dict[str, SecretStr] = Field(default_factory=dict, exclude=True)

    genesys_region: str | None = None
    genesys_base_url: str | None = None
    genesys_login_url: str | None = None
    genesys_allow_http: bool = False
    genesys_client_id: str | None = None
    genesys_client_secret: SecretStr | None = None
    genesys_scope: str = "ai:assistant:run:write"
    genesys_submit_path: str = "/api/v2/ai/assistants/runs/{run_id}/tool_calls"
    genesys_list_key: str = "tool_calls"
    genesys_requests_per_minute: int = Field(default=300, ge=1)

    webhook_secrets: SecretStr | None = None
    webhook_auth: str = "x-hub-signature-256"

    tools_dir: Path = _BUILT_IN_TOOLS

    flower_password: SecretStr | None = None
    metrics_port: int = Field(default=0, ge=0, le=65535)

    run_answer_by_s: float = Field(default=30, ge=3, le=600)
    run_expires_s: float = Field(default=600, ge=5)
    run_max_wait_s: float = Field(default=15, ge=1)
    run_max_waiting: int = Field(default=10000, ge=1)
    run_retention_s: int = Field(default=86400, ge=60)
    dead_letter_retention_s: int = Field(default=604800, ge=60)

    def ledger(self) -> str:
        """The URL of the ledger's Redis: `LEDGER_URL`, else `REDIS_URL`."""
        return _reveal(self.ledger_url) or _reveal(self.redis_url)

    def broker(self) -> str:
        """The URL of Celery's Redis."""
        return _reveal(self.redis_url)

    def secrets(self) -> list[bytes]:
        """The webhook secrets, the current one first."""
        texts = _reveal(self.webhook_secrets).split(",")
        return [text.strip().encode() for text in texts if text.strip()]

    def webhook_schemes(self) -> list[str]:
        """How a delivery may prove where it comes from, in lower case."""
        return [text for part in self.webhook_auth.split(",") if (text := part.strip().lower())]

    def database_urls(self) -> dict[str, str]:
        """Database name in lower case to URL; `default` is `DATABASE_URL`."""
        urls = {name: url.get_secret_value() for name, url in self.databases.items()}
        if self.database_url is not None:
            urls["default"] = self.database_url.get_secret_value()
        return urls

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FromFiles(settings_cls)


class _FromFiles(PydanticBaseSettingsSource):
    """`NAME_FILE=/path` gives NAME from a file, as container secrets are mounted."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        return (_read(path) if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
            if name != "databases"
        }
        values["databases"] = _named_databases()
        return {name: value for name, value in values.items() if value is not None}


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


@cache
def _read_all() -> tuple[Settings | None, list[str]]:
    try:
        settings = Settings()
    except ValidationError as error:
        return None, [
            f"{'.'.join(str(part) for part in mistake['loc']).upper()}: {mistake['msg']}"
            for mistake in error.errors(include_input=False, include_url=False)
        ]
    mistakes = []
    if settings.run_answer_by_s >= settings.run_expires_s:
        mistakes.append("RUN_ANSWER_BY_S: must be below RUN_EXPIRES_S")
    return settings, [*mistakes, *_webhook_mistakes(settings)]


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


def _is_standard_secret(secret: bytes) -> bool:
    encoded = secret.removeprefix(b"whsec_")
    try:
        key = b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
        return encoded != secret and bool(key)
    except ValueError:
        return False


def _has(settings: Settings, name: str) -> bool:
    if name == "WEBHOOK_SECRETS":  # said to be unneeded, in so many words
        return bool(settings.secrets()) or settings.webhook_schemes() == ["none"]
    return bool(getattr(settings, name.lower()))


def _named_databases() -> dict[str, str]:
    """`DATABASE_URL_CRM` (or `DATABASE_URL_CRM_FILE`) is the database `crm`."""
    urls = {}
    for variable, value in os.environ.items():
        match = _DATABASE_URL.fullmatch(variable)
        if match and match[1] != "FILE" and value:
            urls[match[1].lower()] = _read(value) if match[2] else value
    return urls


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: cannot be read ({type(exc).__name__})") from exc


def _reveal(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
