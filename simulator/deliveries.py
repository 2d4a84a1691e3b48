"""Send webhook deliveries as Genesys does: signed, over HTTP, with the responses."""

import base64
import hashlib
import hmac
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.validation import BadOrder

TIMEOUT_S = 10.0
"""Genesys' Open Messaging waits this long for an answer."""

# A proxy from the environment must not come between us and a receiver on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Genesys signs in base64; hex is what GitHub does, for a receiver that should refuse it.
_SCHEMES: dict[str, Callable[[bytes], str]] = {
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "hex": bytes.hex,
}


@dataclass(frozen=True)
class Order:
    """What to send where, and how often; the delivery is sent as it is, even if it is none."""

    url: str
    secret: str
    delivery: Mapping[str, Any]
    times: int
    scheme: str


def read(order: Any) -> Order:
    """
    The order in the body of `POST /_sim/deliveries`.

    Raises:
        BadOrder: A field is missing or of another type.
    """
    if not isinstance(order, dict):
        raise BadOrder("the order is an object")
    url, secret, times = order.get("url"), order.get("secret"), order.get("times", 1)
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise BadOrder("url is the receiver's, with http:// or https://")
    if not isinstance(secret, str) or "delivery" not in order:
        raise BadOrder("secret is a string, and delivery what is sent")
    if isinstance(times, bool) or not isinstance(times, int) or not 0 <= times <= 10_000:
        raise BadOrder("times is a number up to 10000")
    if order.get("scheme", "base64") not in _SCHEMES:
        raise BadOrder(f"scheme is one of {', '.join(_SCHEMES)}")
    return Order(url, secret, order["delivery"], times, order.get("scheme", "base64"))


def send(order: Order) -> dict[str, Any]:
    """One delivery; gives `status` (0 when there was no answer), `body` and `took_ms`."""
    body = json.dumps(order.delivery).encode()
    digest = hmac.new(order.secret.encode(), body, hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": "sha256=" + _SCHEMES[order.scheme](digest),
    }
    started = time.monotonic()
    try:
        with _opener.open(  # `read` takes http and https alone
            urllib.request.Request(order.url, body, headers),  # noqa: S310
            timeout=TIMEOUT_S,
        ) as response:
            status, answer = response.status, response.read()
    except urllib.error.HTTPError as refusal:
        status, answer = refusal.code, refusal.read()
    except (OSError, ValueError, http.client.HTTPException) as failure:
        status, answer = 0, str(failure).encode()
    took_ms = round((time.monotonic() - started) * 1000)
    return {"status": status, "body": answer.decode(errors="replace"), "took_ms": took_ms}
