"""Signatures and requests that `toolworker send` and the demo make."""

import json
from pathlib import Path

import pytest

from ops import deliveries
from webhook.delivery import delivery_of, read
from webhook.signature import verify

RECORDED = sorted((Path(__file__).resolve().parents[2] / "deliveries").glob("*.json"))


def test_the_signature_is_the_base64_that_genesys_sends():
    # from: printf '{"run_id":"r"}' | openssl dgst -sha256 -hmac secret -binary | base64
    signed = deliveries.signature(b'{"run_id":"r"}', b"secret")

    assert signed == "sha256=Kopnya1l6EYbFyw8I9RK5DjVORmWMsC8PCfBDEOT4LU="


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_delivery_that_we_sign_is_accepted_by_the_receivers_own_check(path):
    body = path.read_bytes()
    headers = {"X-Hub-Signature-256": deliveries.signature(body, b"s")}

    verify(headers, body, schemes=["x-hub-signature-256"], secrets=[b"s"], now=0)

    sent = json.loads(body)
    parsed = delivery_of(read(body))
    assert parsed["run_id"] == sent["run_id"]
    assert [call["id"] for call in parsed["tool_calls"]] == [c["id"] for c in sent["tool_calls"]]


def test_nothing_listening_is_an_error_with_the_address(free_port):
    url = f"http://127.0.0.1:{free_port()}/webhook/tool-calls"

    with pytest.raises(
        deliveries.NoAnswer, match=r"no answer from http://127\.0\.0\.1:\d+/webhook"
    ):
        deliveries.send(url, b"{}", secret=b"s", timeout_s=2)
