"""Genesys Cloud's regions as data; API and login URL of a region, or as the settings give them."""

import difflib
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

# The 18 entries of Genesys' own Python SDK 269.0.0; API at api.<domain>, OAuth at login.<domain>.
REGIONS = (
    "mypurecloud.com",
    "use2.us-gov-pure.cloud",
    "usw2.pure.cloud",
    "cac1.pure.cloud",
    "mxc1.pure.cloud",
    "sae1.pure.cloud",
    "mypurecloud.ie",
    "euw2.pure.cloud",
    "mypurecloud.de",
    "euc2.pure.cloud",
    "mec1.pure.cloud",
    "aps1.pure.cloud",
    "apse1.pure.cloud",
    "mypurecloud.com.au",
    "mypurecloud.jp",
    "apne2.pure.cloud",
    "apne3.pure.cloud",
    "edee1.eusc-pure.cloud",
)


@dataclass(frozen=True)
class Endpoints:
    """Base URLs without a trailing slash."""

    api: str
    login: str


def endpoints(
    region: str | None, base_url: str | None, login_url: str | None, *, allow_http: bool = False
) -> Endpoints:
    """
    The URLs of a region, or the ones given, which take precedence.

    Args:
        allow_http: Accept plain http for any host, not for loopback alone; token and outputs then
            travel in the clear.

    Raises:
        ValueError: An unknown region (the closest is named), nothing given, or a URL that is not
            https; all mistakes, one a line, each with the name of its setting.
    """
    mistakes: list[str] = []
    found = []
    for name, kind, url in (
        ("GENESYS_BASE_URL", "api", base_url),
        ("GENESYS_LOGIN_URL", "login", login_url),
    ):
        if not url:
            found.append(f"https://{kind}.{(region or '').strip().lower()}")
            continue
        found.append(url.rstrip("/"))
        if wrong := _url_mistake(url, allow_http):
            mistakes.append(f"{name}: {wrong}")
    if not (base_url and login_url) and (wrong := _region_mistake(region)):
        mistakes.insert(0, f"GENESYS_REGION: {wrong}")
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return Endpoints(*found)


def _region_mistake(region: str | None) -> str | None:
    if not region:
        return "is not set (or GENESYS_BASE_URL and GENESYS_LOGIN_URL)"
    domain = region.strip().lower()
    if domain in REGIONS:
        return None
    close = difflib.get_close_matches(domain, REGIONS, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(REGIONS)}"
    return f"{region} is not a region; {hint}"


def _url_mistake(url: str, allow_http: bool) -> str | None:
    """What is wrong with *url*; never the URL itself, which may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for its check alone: out of range is a ValueError
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "is not a URL that starts with https://"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "holds a character that a URL cannot have"
    if parts.query or parts.fragment or "@" in parts.netloc:
        return "must have no user, query or fragment"
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname):
        return "must be https, or the token would travel in the clear"
    return None


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address, is this machine; no name is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
