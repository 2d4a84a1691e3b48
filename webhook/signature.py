"""Check that a delivery was signed by someone who holds a secret. No Flask, no socket, no clock."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from webhook.errors import BadSignature

_HEADER = "X-Hub-Signature-256"
_PREFIX = "sha256="
_HEX_LENGTH = 64


def verify(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[bytes]) -> None:
    """
    Check `X-Hub-Signature-256`: HMAC-SHA256 of the raw *body*, base64 (Genesys) or hex (GitHub).

    Args:
        secrets: Current secret first, then those being rotated out; with none, nothing passes.

    Raises:
        BadSignature: Missing header, bad encoding or wrong signature. Nothing else is raised.
    """
    claimed = _decode(headers.get(_HEADER, ""))
    # every secret is tried, so that the time taken does not tell which one fits
    matches = [
        hmac.compare_digest(claimed, hmac.new(secret, body, hashlib.sha256).digest())
        for secret in secrets
    ]
    if not any(matches):
        raise BadSignature


def _decode(header: str) -> bytes:
    """The 32 bytes of the header, or bytes that match no digest."""
    text = header.strip().removeprefix(_PREFIX)
    try:
        if len(text) == _HEX_LENGTH:
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
