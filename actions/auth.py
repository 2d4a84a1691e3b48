"""Authorization of a data action by one of our secrets. No Flask, no socket, no clock."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from actions.errors import Unauthorized

_BASIC = re.compile(r"[Bb][Aa][Ss][Ii][Cc] +(\S+)")
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)")


def authorize(
    headers: Mapping[str, str], *, schemes: Sequence[str], secrets: Sequence[bytes]
) -> None:
    """
    Check the secret of a request.

    Every scheme is tried with every secret, so that the time taken shows neither which scheme is on
    nor which secret fits.

    Args:
        headers: As they came, one character a byte (Latin-1); names in lower case.

        schemes: Of "basic" (the password; any user name), "bearer" and "header:NAME".

        secrets: Current secret first, then those being rotated out; with none, nothing passes.

    Raises:
        Unauthorized: No scheme brings a secret. Nothing else is raised.
    """
    claimed = [_claimed(scheme, headers) for scheme in schemes]
    # digests are of equal length, so that comparing does not show the length of a secret
    digests = [hashlib.sha256(claim).digest() for claim in claimed]
    expected = [hashlib.sha256(secret).digest() for secret in secrets]
    matches = [hmac.compare_digest(have, want) for want in expected for have in digests]
    if not any(matches):
        raise Unauthorized


def _claimed(scheme: str, headers: Mapping[str, str]) -> bytes:
    given = headers.get("authorization", "").strip()
    if scheme == "basic":
        match = _BASIC.fullmatch(given)
        return _password(match[1]) if match else b""
    if scheme == "bearer":
        match = _BEARER.fullmatch(given)
        return _to_bytes(match[1]) if match else b""
    return _to_bytes(headers.get(scheme.removeprefix("header:"), "").strip())


def _password(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (ValueError, binascii.Error):
        return b""


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # no wire can have brought it
        return b""
