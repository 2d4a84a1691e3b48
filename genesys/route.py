"""The way to Genesys from the settings: its URLs, a proxy, and the CA certificates to trust."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from genesys.http import HttpClient
from genesys.regions import Endpoints, endpoints
from runtime.settings import Settings


@dataclass(frozen=True)
class Route:
    """Where Genesys is, and the HTTP client that reaches it."""

    endpoints: Endpoints
    http: HttpClient


def route(settings: Settings) -> Route:
    """
    The settings' route; nothing is sent.

    Raises:
        ValueError: All mistakes, one a line, each with the name of its setting.
    """
    mistakes = []
    where = None
    try:
        where = endpoints(
            settings.genesys_region,
            settings.genesys_base_url,
            settings.genesys_login_url,
            allow_http=settings.genesys_allow_http,
        )
    except ValueError as error:
        mistakes += str(error).splitlines()
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
        raise ValueError("\n".join(mistakes))
    client = HttpClient(
        proxies=proxies,
        no_proxy=settings.no_proxy or "",
        ca_bundle=ca_bundle,
        allow_http=settings.genesys_allow_http,
    )
    return Route(where, client)


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
