"""Authentication schemes of WEBHOOK_AUTH over real HTTP: what each accepts and refuses."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from tests import forked_cli
from tests.receiver import delivery, running_receiver, signed, wait_for

UNSIGNED = (401, {"error": "The signature is missing or wrong."})
OLD, NEW = (b"old-secret-of-24-bytes...", b"new-secret-of-24-bytes...")
WHSEC = ["whsec_" + base64.b64encode(secret).decode() for secret in (NEW, OLD)]


@pytest.fixture(scope="module")
def standard(redis_server, tmp_path_factory):
    env = {"WEBHOOK_AUTH": "standard-webhooks", "WEBHOOK_SECRETS": ",".join(WHSEC)}
    with running_receiver(tmp_path_factory.mktemp("auth"), redis_server.url, **env) as receiver:
        yield receiver


def _standard(body, secret=WHSEC[0], *, at=None, signed_id="msg_1"):
    at = at or datetime.now(UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(signed_id, at, body.decode()),
    }


@pytest.mark.parametrize("secret", WHSEC, ids=["current", "rotated out"])
def test_what_the_official_standard_webhooks_library_signs_is_accepted(standard, secret):
    body = delivery(f"standard-{secret[-8:]}")
    assert standard.post(body, _standard(body, secret))[0] == 202


def test_a_replayed_standard_webhook_is_a_duplicate_and_after_five_minutes_401(standard):
    body = delivery("replayed")
    headers = _standard(body)
    status, first = standard.post(body, headers)
    assert (status, "duplicate" in first) == (202, False)
    assert standard.post(body, headers) == (202, {**first, "duplicate": True})
    late = datetime.now(UTC) - timedelta(seconds=302)
    assert standard.post(body, _standard(body, at=late)) == UNSIGNED


def test_a_standard_webhook_with_another_id_or_another_scheme_is_401(standard):
    body = delivery("refused")
    assert standard.post(body, _standard(body, signed_id="msg_2")) == UNSIGNED
    assert standard.post(body, signed(body, WHSEC[0])) == UNSIGNED
    assert standard.post(body, {"Authorization": f"Bearer {WHSEC[0]}"}) == UNSIGNED


def test_several_ways_in_are_each_enough(redis_server, tmp_path):
    env = {"WEBHOOK_AUTH": "X-Hub-Signature-256, bearer, header:X-Genesys-Token",
           "WEBHOOK_SECRETS": "new,old"}  # fmt: skip
    with running_receiver(tmp_path, redis_server.url, **env) as receiver:
        body = delivery("any-way-in")
        for headers in (
            signed(body, "new"),
            signed(body, "old"),
            {"Authorization": "Bearer old"},
            {"X-Genesys-Token": "new"},
        ):
            assert receiver.post(body, headers)[0] == 202
        for headers in ({}, {"Authorization": "Bearer other"}, {"X-Genesys-Token": ""}):
            assert receiver.post(body, headers) == UNSIGNED
        assert "old" not in receiver.log()


@pytest.fixture(scope="module")
def doubtful(redis_server, tmp_path_factory):
    """A receiver that starts, and warns of three of its settings."""
    env = {
        "WEBHOOK_AUTH": "none",
        "WEBHOOK_SECRETS": "",
        "REDIS_TLS_VERIFY": "False",
        "RUN_ANSWER_BY": "planted",
    }
    folder = tmp_path_factory.mktemp("doubtful")
    with running_receiver(folder, redis_server.url, **env) as receiver:
        yield receiver


def test_none_admits_every_sender_and_is_logged_as_a_warning_at_start(doubtful):
    assert doubtful.post(delivery("open-door"), {})[0] == 202
    assert "anyone may send deliveries" in doubtful.log()


def test_a_receiver_warns_of_an_unchecked_certificate_and_a_misspelt_setting(doubtful):
    wait_for(lambda: doubtful.log().count("redis.unverified") == 2)  # by each process
    said = doubtful.log()
    assert "REDIS_TLS_VERIFY=false: any server may pose as Redis and read its password" in said
    assert said.count("settings.misspelt") == 2
    assert "RUN_ANSWER_BY_S" in said
    assert "planted" not in said


@pytest.mark.parametrize(
    ("auth", "secrets", "mistake"),
    [
        ("none,bearer", "s", "WEBHOOK_AUTH: none stands alone, since it lets everyone in"),
        ("hmac", "s", "WEBHOOK_AUTH: must be of x-hub-signature-256, standard-webhooks, bearer"),
        (",", "s", "WEBHOOK_AUTH: must be of x-hub-signature-256, standard-webhooks, bearer"),
        ("standard-webhooks", "s", "WEBHOOK_SECRETS: standard-webhooks needs one of the form"),
        ("standard-webhooks", "whsec_", "WEBHOOK_SECRETS: standard-webhooks needs one of the form"),
        ("bearer", "", "WEBHOOK_SECRETS: is not set (or WEBHOOK_SECRETS_FILE)"),
    ],
)
def test_a_scheme_without_a_usable_secret_keeps_the_receiver_from_starting(
    redis_server, auth, secrets, mistake
):
    env = {"REDIS_URL": redis_server.url, "WEBHOOK_AUTH": auth, "WEBHOOK_SECRETS": secrets}
    done = forked_cli.python("-c", "from webhook.intake import keep; keep()", env=env)
    assert done.returncode == 1
    assert mistake in done.stderr


def test_each_request_has_an_id_in_its_answer_and_its_log_lines(standard):
    body = delivery("named")
    for headers, status in ((_standard(body), 202), ({}, 401)):
        sent = {"Content-Type": "application/json", "X-Request-Id": f"from-the-proxy-{status}"}
        found = standard.ask("POST", "/webhook/tool-calls", body, {**headers, **sent})
        assert (found[0], found[2]["X-Request-Id"]) == (status, f"from-the-proxy-{status}")
    lines = [json.loads(line) for line in standard.log().splitlines() if "from-the-proxy" in line]
    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("delivery.accepted", "from-the-proxy-202"),
        ("request.refused", "from-the-proxy-401"),
    ]


@pytest.mark.parametrize("sent", ["a b", "x" * 65, '"', "a;b"])
def test_an_id_that_does_not_fit_a_log_line_is_replaced(standard, sent):
    own = standard.ask("GET", "/livez", headers={"X-Request-Id": sent})[2]["X-Request-Id"]
    assert len(own) == 16
    assert set(own) <= set("0123456789abcdef")
