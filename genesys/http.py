"""POST through requests: a Session a thread, and errors by cause."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.utils import should_bypass_proxies
from urllib3.exceptions import DecodeError, HTTPError, ProtocolError

from genesys.answer import Answer, json_object, one_line
from genesys.connections import DeadlineAdapter, deadline, may_have_arrived
from genesys.errors import GenesysError, GenesysUnavailable, Rejected, Untrusted
from genesys.regions import is_loopback

MAX_ANSWER_BYTES = 65_536
"""Bytes read of a response; an error body has a few hundred, and a token fewer."""

CONNECT_TIMEOUT_S = 3.05
"""Just above TCP's first retransmission after 3 s; for each address that a host name has."""

_WRONG_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH


class BearerToken(AuthBase):
    """The token as requests' auth object: a netrc entry replaces a plain header, but not this."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class HttpClient:
    """
    POSTs for any number of threads; each has a `requests.Session` of its own.

    The environment is not read: no netrc, no proxy and no CA bundle but those given here.

    Args:
        proxies: Scheme ("https", "http" or "all") to the proxy's URL, as requests takes them.

        no_proxy: Hosts that are reached without a proxy, in the form of `NO_PROXY`.

        ca_bundle: File or folder of the CA certificates to trust; None for requests' own.

        allow_http: Whether plain http may go to hosts other than this one, and through a proxy,
            which then sees the token.
    """

    def __init__(
        self,
        *,
        proxies: Mapping[str, str] | None = None,
        no_proxy: str = "",
        ca_bundle: str | None = None,
        allow_http: bool = False,
    ) -> None:
        self._proxies = dict(proxies or {})
        self._no_proxy = no_proxy
        self._verify: bool | str = ca_bundle or True
        self._allow_http = allow_http
        self._local = threading.local()

    def post(
        self,
        url: str,
        data: bytes | Mapping[str, str],
        headers: Mapping[str, str],
        timeout_s: float,
        *,
        auth: AuthBase | None = None,
    ) -> Answer:
        """
        Send one POST; a redirect is an answer and not followed, nothing is repeated.

        Args:
            timeout_s: For all of it: connecting, sending, and the whole answer. A slow look-up
                of the host's name may take longer; then nothing is sent.

        Raises:
            GenesysUnavailable: No answer in time. `is_unknown` unless the connection was never
                made.
            Untrusted: The server's certificate is not trusted or not for this host. Nothing was
                sent.
            Rejected: The URL or a header cannot be sent at all.
        """
        proxies = self._proxies_for(url)
        session = self._session()
        try:
            prepared = session.prepare_request(
                requests.Request("POST", url, headers=headers, data=data, auth=auth)
            )
        except (requests.RequestException, ValueError) as exc:
            raise Rejected(f"the request cannot be sent ({type(exc).__name__})") from None
        # requests decodes %2E, and urllib3 would resolve the dots: a run id may be ".."
        prepared.url = url
        timeout = (min(timeout_s, CONNECT_TIMEOUT_S), timeout_s)
        try:
            with (
                deadline(timeout_s),
                session.send(
                    prepared, timeout=timeout, stream=True, proxies=proxies, verify=self._verify
                ) as response,
            ):
                return Answer(response.status_code, response.headers, json_object(_read(response)))
        except (HTTPError, OSError) as exc:  # requests' exceptions are OSErrors
            # without the exception: its text holds the URL, and its request the token
            raise _failure(exc, urlsplit(url).hostname) from None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = _Session()
            session.trust_env = False
            session.headers["User-Agent"] = f"Genesys-ToolWorker/{version('toolworker')}"
            session.headers["Accept"] = "application/json"
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
            for scheme in ("https://", "http://"):
                session.mount(scheme, DeadlineAdapter(max_retries=0, pool_maxsize=1))
        return session

    def _proxies_for(self, url: str) -> dict[str, str]:
        """The proxies for *url*; plain http is for loopback and uses none, unless `allow_http`."""
        parts = urlsplit(url)
        if parts.scheme == "http" and not self._allow_http:
            if not is_loopback(parts.hostname or ""):
                raise Rejected("the URL is plain http; the token would travel in the clear")
            return {}
        if self._proxies and _is_direct(f"{parts.scheme}://{parts.netloc}", self._no_proxy):
            return {}
        return self._proxies


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: not followed. requests would parse a broken Location even so, and raise."""
        return None


@cache
def _is_direct(host_url: str, no_proxy: str) -> bool:
    # cached, since requests sets NO_PROXY in os.environ while it looks: once, before a worker
    # has threads that read it
    return should_bypass_proxies(host_url, no_proxy)


def _read(response: requests.Response) -> bytes:
    """At most `MAX_ANSWER_BYTES` of the body; a broken body is empty, since the status decides."""
    try:
        body: bytes = response.raw.read(MAX_ANSWER_BYTES, decode_content=True)
    except (ProtocolError, DecodeError):
        return b""
    return body


def _failure(exc: Exception, host: str | None) -> GenesysError:
    """The error for a request without an answer, with the cause that the libraries know."""
    is_unknown = may_have_arrived()
    if isinstance(exc, requests.Timeout):
        return GenesysUnavailable(
            f"Genesys did not answer ({type(exc).__name__})", is_unknown=is_unknown
        )
    causes = list(_causes(exc))
    server = "the proxy" if isinstance(exc, requests.exceptions.ProxyError) else f"{host}"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code in _WRONG_NAME:
                problem = f"the certificate of {server} is for another name"
            else:
                problem = f"the certificate of {server} is not trusted: {cause.verify_message}"
            return Untrusted(f"{problem}. A private CA goes into REQUESTS_CA_BUNDLE.")
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            problem = f"TLS with {server} failed ({cause.reason or type(cause).__name__})"
            return GenesysUnavailable(problem, is_unknown=is_unknown)
    if isinstance(exc, requests.exceptions.ProxyError):
        last = one_line(str(causes[-1]), 120)
        return GenesysUnavailable(f"the proxy did not connect ({last})", is_unknown=is_unknown)
    if isinstance(exc, OSError) and not isinstance(exc, requests.RequestException):
        return GenesysUnavailable("the CA bundle cannot be read any more; see REQUESTS_CA_BUNDLE")
    return GenesysUnavailable(
        f"Genesys did not answer ({type(exc).__name__})", is_unknown=is_unknown
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """*exc* and everything that led to it; the first cause comes last."""
    pending, seen = [exc], set[int]()
    while pending:
        found = pending.pop(0)
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            pending += [e for e in (found.__cause__, found.__context__) if e is not None]
