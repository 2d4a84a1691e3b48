"""Endpoint URLs, credentials, proxy and CA certificates of Genesys, from the settings."""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from genesys.errors import Rejected
from genesys.http import HttpClient
from genesys.regions import Endpoints, endpoints
from runtime.settings import Settings, SettingsError

# printable ASCII without a space, "#" or "?"
_PATH = re.compile(r"/[!\"$->@-~]*")


@dataclass(frozen=True)
class Route:
    """Where Genesys is, the HTTP client that reaches it, and the OAuth client's credentials."""

    endpoints: Endpoints
    http: HttpClient
    client_id: str
    client_secret: str = field(repr=False)


def route(settings: Settings) -> Route:
    """
    The settings' route; nothing is sent.

    Raises:
        SettingsError: All mistakes, one a line, each with the name of its setting.
    """
    client_id, secret = settings.genesys_client_id or "", settings.genesys_client_secret
    client_secret = secret.reveal() if secret else ""
    where, mistakes = _endpoints(settings)
    mistakes += _credential_mistakes(
        GENESYS_CLIENT_ID=client_id,
        GENESYS_CLIENT_SECRET=client_secret,
        GENESYS_SCOPE=settings.genesys_scope,
    )
    mistakes += _submission_mistakes(settings.genesys_submit_path, settings.genesys_list_key)
    proxies = {}
    for scheme in ("https", "http", "all"):
        if secret := getattr(settings, f"{scheme}_proxy"):
            url = secret.reveal()
            proxies[scheme] = url = url if "://" in url else f"http://{url}"
            if wrong := _proxy_mistake(url):
                mistakes.append(f"{scheme.upper()}_PROXY: {wrong}")
    ca_bundle = None
    for name in ("requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file"):
        if ca_bundle := getattr(settings, name):
            if wrong := _bundle_mistake(ca_bundle):
                mistakes.append(f"{name.upper()}: {wrong}")
            break
    if mistakes or where is None:
        raise SettingsError("\n".join(mistakes))
    client = HttpClient(
        proxies=proxies,
        no_proxy=settings.no_proxy or "",
        ca_bundle=ca_bundle,
        allow_http=settings.genesys_allow_http,
    )
    return Route(where, client, client_id, client_secret)


def fleet_names(settings: Settings) -> list[str]:
    """
    Login URL, client id and scope, which name the fleet's keys in Redis; no secret is needed.

    Raises:
        SettingsError: All mistakes, one a line, each with the name of its setting.
    """
    client_id, scope = settings.genesys_client_id or "", settings.genesys_scope
    where, mistakes = _endpoints(settings)
    mistakes += _credential_mistakes(GENESYS_CLIENT_ID=client_id, GENESYS_SCOPE=scope)
    if mistakes or where is None:
        raise SettingsError("\n".join(mistakes))
    return [where.login, client_id, scope]


def _endpoints(settings: Settings) -> tuple[Endpoints | None, list[str]]:
    """The settings' endpoints, or None and the mistakes."""
    try:
        where = endpoints(
            settings.genesys_region,
            settings.genesys_base_url,
            settings.genesys_login_url,
            allow_http=settings.genesys_allow_http,
        )
    except ValueError as error:
        return None, str(error).splitlines()
    return where, []


def _credential_mistakes(**sent: str) -> list[str]:
    mistakes = [
        f"{name}: is not set (or {name}_FILE)"
        for name, text in sent.items()
        if not text and name != "GENESYS_SCOPE"
    ]
    mistakes += [
        f"{name}: holds a line break or another character that cannot be sent"
        for name, text in sent.items()
        if not text.isprintable()
    ]
    return mistakes


def _submission_mistakes(path: str, list_key: str) -> list[str]:
    mistakes = []
    if not _PATH.fullmatch(path) or path.count("{run_id}") != 1:
        mistakes.append(
            "GENESYS_SUBMIT_PATH: must start with / and hold {run_id} once; no query, no spaces"
        )
    if not list_key.isidentifier():
        mistakes.append("GENESYS_LIST_KEY: must be a name such as tool_calls or tool_outputs")
    return mistakes


def _proxy_mistake(url: str) -> str | None:
    """What is wrong with a proxy's URL; never the URL itself, which may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be http://HOST:PORT or https://HOST:PORT; SOCKS is not supported"
    return None


def _bundle_mistake(path: str) -> str | None:
    if Path(path).is_dir():  # of hashed names, which OpenSSL reads when it needs one
        return None
    try:
        ssl.create_default_context(cafile=path)
    except OSError as exc:  # ssl.SSLError is one
        return f"{path} holds no certificates that can be read ({type(exc).__name__})"
    return None


def path_segment(run_id: str) -> str:
    """
    A run id, percent-encoded, as one segment of a URL's path.

    Raises:
        Rejected: It is empty, or no Unicode text.
    """
    try:
        segment = quote(run_id, safe="")
    except UnicodeEncodeError:  # a lone surrogate
        segment = ""
    if not segment:
        raise Rejected("the run id is empty or no Unicode text; no path can name this run")
    # dots need no encoding, but a segment of dots alone would climb the path
    return segment.replace(".", "%2E") if run_id in (".", "..") else segment
