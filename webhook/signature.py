"""Verify the signature or secret of a delivery. No Flask, no socket, no clock."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence

from webhook.errors import BadSignature

TOLERANCE_S = 300
"""How far a signed timestamp may be off, before or behind; Standard Webhooks' own number."""

SIGNED_SCHEMES = ("x-hub-signature-256", "standard-webhooks")
"""Schemes that sign the body; the others prove at most that the sender knows a secret."""

_HEX_LENGTH = 64
_WHSEC = b"whsec_"
_TIMESTAMP = re.compile(r"[0-9]{1,12}")  # no sign, no fraction, no digits of other scripts
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)")


def verify(
    headers: Mapping[str, str],
    body: bytes,
    *,
    schemes: Sequence[str],
    secrets: Sequence[bytes],
    now: float,
) -> bool:
    """
    Check that the raw *body* came with a proof of one of the *schemes*.

    Every scheme is tried with every secret, whatever the headers hold, so that neither the answer
    nor the time it takes reveals which schemes are on or which secret fits.

    Args:
        headers: As they came, one character a byte (Latin-1); names in any case.

        schemes: Of "x-hub-signature-256" (HMAC-SHA256 of the body, base64 as Genesys writes it or
            hex as GitHub does), "standard-webhooks" (HMAC-SHA256 of id, time and body; secrets
            that begin with "whsec_"), "bearer" and "header:NAME" (the secret itself), and "none".

        secrets: Current secret first, then those being rotated out; with none, nothing passes but
            "none".

        now: Seconds since the epoch.

    Returns:
        Whether the body itself is signed, and not only sent by someone who knows a secret.

    Raises:
        BadSignature: No proof, a malformed one, a wrong one or one too old. Nothing else is raised.
    """
    by_name = {name.lower(): value for name, value in headers.items()}
    proofs = {scheme: _check(scheme, by_name, body, secrets, now) for scheme in schemes}
    if not any(proofs.values()):
        raise BadSignature
    return any(proofs.get(scheme, False) for scheme in SIGNED_SCHEMES)


def _check(
    scheme: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: float
) -> bool:
    if scheme == "none":
        return True
    if scheme == "x-hub-signature-256":
        return _is_hub_signed(headers, body, secrets)
    if scheme == "standard-webhooks":
        return _is_standard_signed(headers, body, secrets, now)
    if scheme == "bearer":
        match = _BEARER.fullmatch(headers.get("authorization", "").strip())
        return _is_secret(match[1] if match else "", secrets)
    return _is_secret(headers.get(scheme.removeprefix("header:").lower(), ""), secrets)


def _is_hub_signed(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> bool:
    text = headers.get("x-hub-signature-256", "").strip().removeprefix("sha256=")
    claimed = _from_hex(text) if len(text) == _HEX_LENGTH else _from_base64(text)
    return _fits([claimed], secrets, lambda secret: _hmac(secret, body))


def _is_standard_signed(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: float
) -> bool:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    message_id, timestamp, signatures = (headers.get(name, "").strip() for name in names)
    signed = _to_bytes(f"{message_id}.{timestamp}.") + body
    # several, while the sender rotates its secret; versions that we do not know are passed over
    claimed = [_from_base64(part[3:]) for part in signatures.split(" ") if part[:3] == "v1,"]
    keys = [_from_base64(s[len(_WHSEC) :].decode("latin-1")) for s in secrets if s[:6] == _WHSEC]
    fits = _fits(claimed, [key for key in keys if key], lambda key: _hmac(key, signed))
    is_timely = bool(_TIMESTAMP.fullmatch(timestamp)) and abs(now - int(timestamp)) <= TOLERANCE_S
    return fits and is_timely and bool(message_id)


def _is_secret(claimed: str, secrets: Sequence[bytes]) -> bool:
    # of equal length whatever was sent, so that the time taken does not reveal a secret's length
    digest = hashlib.sha256(_to_bytes(claimed.strip())).digest()
    return _fits([digest], secrets, lambda secret: hashlib.sha256(secret).digest())


def _fits(
    claimed: Sequence[bytes], secrets: Sequence[bytes], expect: Callable[[bytes], bytes]
) -> bool:
    """Whether any claim is what any secret makes; all are compared, each in constant time."""
    expected = [expect(secret) for secret in secrets]
    matches = [hmac.compare_digest(have, want) for want in expected for have in claimed]
    return any(matches)


def _hmac(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, "sha256")


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _from_base64(text: str) -> bytes:
    """The bytes, or none, which equal no digest; padding may be left out."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""


def _to_bytes(text: str) -> bytes:
    """The bytes of the wire (Latin-1); a text that cannot have come over it matches nothing."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return b"\0"
