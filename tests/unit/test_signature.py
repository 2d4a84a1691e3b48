"""The receiver takes what was signed with a secret it knows, and nothing else."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import BadSignature
from webhook.signature import verify

BODY = b'{"run_id": "r-1"}'


def _digest(secret: bytes, body: bytes = BODY) -> bytes:
    return hmac.new(secret, body, hashlib.sha256).digest()


def _base64(secret: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + base64.b64encode(_digest(secret)).decode()}


def test_a_base64_signature_as_genesys_writes_it_is_accepted():
    verify(_base64(b"current"), BODY, secrets=[b"current"])


def test_a_hex_signature_as_github_writes_it_is_accepted():
    header = {"X-Hub-Signature-256": "sha256=" + _digest(b"current").hex()}
    verify(header, BODY, secrets=[b"current"])


def test_a_secret_being_rotated_out_is_still_accepted():
    verify(_base64(b"old"), BODY, secrets=[b"current", b"old"])


def test_a_changed_body_is_refused():
    with pytest.raises(BadSignature):
        verify(_base64(b"current"), BODY + b" ", secrets=[b"current"])


def test_nothing_passes_without_a_secret():
    with pytest.raises(BadSignature):
        verify(_base64(b""), BODY, secrets=[])


def test_a_missing_header_is_refused():
    with pytest.raises(BadSignature):
        verify({}, BODY, secrets=[b"current"])


@given(st.text())
def test_no_header_raises_anything_but_bad_signature(header):
    with pytest.raises(BadSignature):
        verify({"X-Hub-Signature-256": header}, BODY, secrets=[b"current"])


@given(st.text(alphabet="0123456789abcdefABCDEF+/=", min_size=60, max_size=68))
def test_no_header_of_the_right_look_raises_anything_but_bad_signature(text):
    with pytest.raises(BadSignature):
        verify({"X-Hub-Signature-256": f"sha256={text}"}, BODY, secrets=[b"current"])
