"""Rules of settings beyond one value's type: URLs, authentication schemes, pairs."""

import re
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from runtime.settings import Settings

_WEBHOOK_SCHEME = re.compile(r"x-hub-signature-256|standard-webhooks|bearer|header:[a-z0-9-]+|none")
_ACTIONS_SCHEME = re.compile(r"basic|bearer|header:[a-z0-9-]+")
_REDIS_URL = "must be redis://:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS"


def mistakes(settings: "Settings") -> list[str]:
    """Mistakes of the settings, one `NAME: sentence` each, without values."""
    found = []
    if settings.run_answer_by_s >= settings.run_expires_s:
        found.append("RUN_ANSWER_BY_S: must be below RUN_EXPIRES_S")
    return [
        *found,
        *_redis_mistakes(settings),
        *_webhook_mistakes(settings),
        *_actions_mistakes(settings),
        *_observability_mistakes(settings),
    ]


def _redis_mistakes(settings: "Settings") -> list[str]:
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


def _webhook_mistakes(settings: "Settings") -> list[str]:
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


def _actions_mistakes(settings: "Settings") -> list[str]:
    schemes, mistakes = settings.action_schemes(), []
    if not schemes or not all(_ACTIONS_SCHEME.fullmatch(scheme) for scheme in schemes):
        mistakes.append("ACTIONS_AUTH: must be of basic, bearer, header:NAME")
    return mistakes


def _observability_mistakes(settings: "Settings") -> list[str]:
    mistakes = []
    endpoint, alert_url = settings.otel_exporter_otlp_endpoint, settings.alert_url
    if endpoint and not endpoint.reveal().startswith(("http://", "https://")):
        mistakes.append("OTEL_EXPORTER_OTLP_ENDPOINT: must be http:// or https:// (OTLP over HTTP)")
    if settings.otel_exporter_otlp_headers and not settings.otlp_headers():
        mistakes.append("OTEL_EXPORTER_OTLP_HEADERS: must be NAME=VALUE, comma-separated")
    if alert_url and not alert_url.reveal().startswith(("http://", "https://")):
        mistakes.append("ALERT_URL: must be http:// or https://")
    secret = settings.alert_secret.reveal() if settings.alert_secret else ""
    if secret and not _is_standard_secret(secret.encode()):
        mistakes.append("ALERT_SECRET: must be of the form whsec_<base64>")
    return mistakes


def _is_standard_secret(secret: bytes) -> bool:
    encoded = secret.removeprefix(b"whsec_")
    try:
        key = b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
        return encoded != secret and bool(key)
    except ValueError:
        return False
