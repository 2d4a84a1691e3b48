"""Where Genesys Cloud is: the regions as data, and URLs that may stand in for one."""

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


def endpoints(region: str | None, base_url: str | None, login_url: str | None) -> Endpoints:
    """
    The URLs of a region, or the ones given, which take precedence.

    Raises:
        ValueError: An unknown region (the closest is named), nothing given, or a URL that is not
            https. Plain http is taken for loopback alone.
    """
    if base_url and login_url:
        return Endpoints(
            _checked("GENESYS_BASE_URL", base_url), _checked("GENESYS_LOGIN_URL", login_url)
        )
    if not region:
        raise ValueError("GENESYS_REGION: is not set (or GENESYS_BASE_URL and GENESYS_LOGIN_URL)")
    domain = region.strip().lower()
    if domain not in REGIONS:
        close = difflib.get_close_matches(domain, REGIONS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(REGIONS)}"
        raise ValueError(f"GENESYS_REGION: {region} is not a region; {hint}")
    api = _checked("GENESYS_BASE_URL", base_url) if base_url else f"https://api.{domain}"
    login = _checked("GENESYS_LOGIN_URL", login_url) if login_url else f"https://login.{domain}"
    return Endpoints(api, login)


def _checked(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name}: is not a URL that starts with https://")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError(f"{name}: must be https, or the token would travel in the clear")
    if parts.query or parts.fragment or parts.username:
        raise ValueError(f"{name}: must have no user, query or fragment")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
