"""A delivery passes with a valid proof of a configured scheme and secret, and only then."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook import signature
from webhook.errors import BadSignature
from webhook.signature import verify

HUB, STANDARD, BEARER = "x-hub-signature-256", "standard-webhooks", "bearer"
ALL = (HUB, STANDARD, BEARER, "header:x-api-key")
BODY = b'{"run_id": "r-1"}'
# The example of the Standard Webhooks libraries: secret, id, time, body and their signature.
WHSEC = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHSEC_BODY = b'{"test": 2432232314}'
WHSEC_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = 1614265330


def _digest(secret: bytes, body: bytes = BODY) -> bytes:
    return hmac.new(secret, body, hashlib.sha256).digest()


def _base64(secret: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + base64.b64encode(_digest(secret)).decode()}


def _standard(**changes):
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": str(NOW),
        "webhook-signature": WHSEC_SIGNATURE,
    }
    return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}


def _passes(headers, body=BODY, *, schemes=(HUB,), secrets=(b"current",), now=NOW):
    try:
        verify(headers, body, schemes=schemes, secrets=secrets, now=now)
    except BadSignature:
        return False
    return True


def _passes_standard(headers, *, secrets=(WHSEC,), now=NOW, body=WHSEC_BODY):
    return _passes(headers, body, schemes=(STANDARD,), secrets=secrets, now=now)


def test_a_base64_signature_as_genesys_writes_it_is_accepted():
    assert _passes(_base64(b"current"))


def test_a_hex_signature_as_github_writes_it_is_accepted():
    assert _passes({"X-Hub-Signature-256": "sha256=" + _digest(b"current").hex()})


def test_the_example_that_github_publishes_is_accepted():
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"x-hub-signature-256": header}
    assert _passes(headers, b"Hello, World!", secrets=[b"It's a Secret to Everybody"])


def test_a_secret_being_rotated_out_is_still_accepted():
    assert _passes(_base64(b"old"), secrets=[b"current", b"old"])


def test_padding_may_be_left_out_and_nothing_be_put_in():
    ((name, value),) = _base64(b"current").items()
    assert _passes({name: value.rstrip("=")})
    assert not _passes({name: f"{value[:20]}!{value[20:]}"})


def test_a_changed_body_is_refused():
    assert not _passes(_base64(b"current"), BODY + b" ")


@pytest.mark.parametrize("scheme", ALL)
def test_nothing_passes_without_a_secret(scheme):
    headers = {**_base64(b""), **_standard(), "Authorization": "Bearer ", "X-Api-Key": ""}
    assert not _passes(headers, schemes=(scheme,), secrets=[])


@pytest.mark.parametrize("scheme", ALL)
def test_a_missing_header_is_refused(scheme):
    assert not _passes({}, schemes=(scheme,), secrets=[b"current", WHSEC])


def test_the_published_standard_webhooks_example_is_accepted():
    assert _passes_standard(_standard())


@pytest.mark.parametrize("away_s", [-300, 300])
def test_a_standard_webhook_is_accepted_up_to_five_minutes_off_and_no_more(away_s):
    assert _passes_standard(_standard(), now=NOW + away_s)
    assert not _passes_standard(_standard(), now=NOW + away_s + (1 if away_s > 0 else -1))


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": "msg_other"},
        {"webhook_id": ""},
        {"webhook_timestamp": str(NOW + 1)},
        {"webhook_timestamp": f"{NOW}.0"},
        {"webhook_timestamp": f"+{NOW}"},
        {"webhook_timestamp": "nan"},
        {"webhook_timestamp": "9" * 5000},
        {"webhook_timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook_signature": ""},
        {"webhook_signature": "v1"},
        {"webhook_signature": "v1,"},
        {"webhook_signature": WHSEC_SIGNATURE.replace("v1,", "v2,")},
        {"webhook_signature": WHSEC_SIGNATURE.replace("v1,", "v1a,")},
        {"webhook_signature": WHSEC_SIGNATURE.removeprefix("v1,")},
    ],
)
def test_a_standard_webhook_that_was_changed_is_refused(changes):
    assert not _passes_standard(_standard(**changes))


def test_one_of_several_signatures_is_enough_while_the_sender_rotates():
    signatures = f"v1,AAAA v1a,x bogus {WHSEC_SIGNATURE}"
    assert _passes_standard(_standard(webhook_signature=signatures))


def test_one_of_several_secrets_is_enough_while_the_receiver_rotates():
    assert _passes_standard(_standard(), secrets=[b"whsec_AAAA", b"plain", WHSEC])


@pytest.mark.parametrize("secret", [b"whsec_", b"whsec_!", b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_only_a_whsec_secret_signs_standard_webhooks(secret):
    assert not _passes_standard(_standard(), secrets=[secret])


@pytest.mark.parametrize("value", ["Bearer current", "bearer current", "BEARER  current "])
def test_a_bearer_token_is_accepted(value):
    assert _passes({"Authorization": value}, schemes=(BEARER,))


@pytest.mark.parametrize(
    "value",
    ["", "current", "Bearer", "Bearer ", "Bearer x", "Basic current", "Bearer current x",
     "Bearer current,current", "Bearer curren", "Bearer \u0106urrent"],
)  # fmt: skip
def test_another_token_is_refused(value):
    assert not _passes({"Authorization": value}, schemes=(BEARER,))


def test_a_token_in_a_header_of_the_customers_choice_is_accepted():
    schemes = ("header:x-api-key",)
    assert _passes({"X-API-Key": "current"}, schemes=schemes)
    assert not _passes({"X-API-Key": "other"}, schemes=schemes)
    assert not _passes({"X-Other": "current"}, schemes=schemes)


def test_any_of_the_chosen_schemes_will_do_and_no_other():
    schemes = (BEARER, HUB)
    assert _passes(_base64(b"current"), schemes=schemes)
    assert _passes({"Authorization": "Bearer current"}, schemes=schemes)
    assert not _passes({"X-Api-Key": "current"}, schemes=schemes)
    assert not _passes(_standard(), WHSEC_BODY, schemes=schemes, secrets=[WHSEC])


_SECRET_SENT = {"Authorization": "Bearer current", "X-Api-Key": "current"}


@pytest.mark.parametrize(
    ("headers", "schemes", "is_signed"),
    [
        (_base64(b"current"), ALL, True),
        ({**_SECRET_SENT, **_base64(b"current")}, ALL, True),
        ({**_SECRET_SENT, **_base64(b"other")}, ALL, False),
        (_SECRET_SENT, (BEARER,), False),
        (_SECRET_SENT, ("header:x-api-key",), False),
        ({**_SECRET_SENT, **_base64(b"current")}, (BEARER,), False),
        ({}, ("none",), False),
        (_base64(b"current"), ("none", HUB), True),
    ],
)
def test_a_body_counts_as_signed_by_a_signature_alone(headers, schemes, is_signed):
    found = verify(headers, BODY, schemes=schemes, secrets=[b"current", WHSEC], now=NOW)
    assert found is is_signed


def test_a_standard_webhook_counts_as_signed():
    assert verify(_standard(), WHSEC_BODY, schemes=(STANDARD,), secrets=[WHSEC], now=NOW) is True


def test_none_lets_everyone_in():
    assert _passes({}, schemes=("none",), secrets=[])


def test_every_scheme_is_worked_out_with_every_secret_whatever_is_sent(monkeypatch):
    counted = []
    make = signature._hmac
    monkeypatch.setattr(signature, "_hmac", lambda *given: counted.append(1) or make(*given))
    for headers in ({}, _base64(b"a"), _base64(b"b"), _standard(), {"Authorization": "Bearer a"}):
        counted.clear()
        _passes(headers, schemes=ALL, secrets=[b"a", b"b", WHSEC])
        assert len(counted) == 3 + 1  # the body with each of three, and with the one whsec_


_TEXT = st.text() | st.text("0123456789abcdefABCDEF+/=", min_size=60, max_size=68)
_NAMES = ["X-Hub-Signature-256", "webhook-id", "webhook-timestamp", "webhook-signature",
          "Authorization", "X-Api-Key"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(_NAMES), _TEXT | _TEXT.map("sha256={}".format)
       | _TEXT.map("v1,{}".format) | _TEXT.map("Bearer {}".format)), st.binary())  # fmt: skip
def test_no_headers_raise_anything_but_bad_signature(headers, body):
    assert not _passes(headers, body, schemes=ALL, secrets=[b"current secret", WHSEC])
