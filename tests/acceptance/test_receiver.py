"""Error responses of the receiver, over real HTTP."""

import functools
import gzip
import http.client
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from ops import deliveries
from ops.dev.children import StartError
from tests.receiver import delivery, running_receiver, signed, wait_for
from tests.timing import until_unstalled

GOOD = ("good", "search_inventory", '{"sku": "AB-1001", "warehouse": "US-WEST"}')
DELIVERY = json.dumps({"run_id": "r", "tool_calls": []}).encode()


def _send(service, method, path, body=None, headers=None, *, chunked=False):
    connection = http.client.HTTPConnection(urlsplit(service.stack.webhook_url).netloc, timeout=30)
    connection.request(method, path, body, headers or {}, encode_chunked=chunked)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read()), dict(response.getheaders())
    connection.close()
    return answer


def _signed(service, body, content_type="application/json"):
    signature = deliveries.signature(body, service.stack.secret.encode())
    return {"Content-Type": content_type, "X-Hub-Signature-256": signature}


def _post(service, body, **options):
    headers = _signed(service, body, **options)
    return _send(service, "POST", "/webhook/tool-calls", body, headers)[:2]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": "sha256=AAAA"},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": "é".encode().decode("latin-1")},
        {"X-Hub-Signature-256": ""},
    ],
)
def test_an_unsigned_delivery_is_401_whatever_it_holds(service, headers):
    for body in (DELIVERY, b"{", b"\xff" * 100):
        status, answer, _ = _send(service, "POST", "/webhook/tool-calls", body, headers)
        assert (status, answer) == (401, {"error": "The signature is missing or wrong."})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "The body is not valid JSON."),
        (b"", "The body is not valid JSON."),
        (b'{"run_id": "\xff"}', "The body is not UTF-8."),
        (b"[" * 100_000, "The body is nested too deeply."),
        (b"{}", "Invalid payload structure. Expected run_id and tool_calls array."),
        (
            b'{"run_id": "r", "tool_calls": [{"id": "c"}]}',
            "tool_calls[0].function is missing or not an object.",
        ),
    ],
)
def test_a_delivery_that_cannot_be_read_is_400_with_a_sentence(service, body, sentence):
    assert _post(service, body) == (400, {"error": sentence})


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_415(service, content_type):
    status, answer = _post(service, DELIVERY, content_type=content_type)
    assert (status, answer) == (415, {"error": "The content type is not application/json."})


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_delivery_is_415_however_it_was_signed(service, coding):
    body = gzip.compress(DELIVERY)
    for proven in (body, DELIVERY):
        headers = {**_signed(service, proven), "Content-Encoding": coding}
        found = _send(service, "POST", "/webhook/tool-calls", body, headers)
        sentence = "The body is compressed; send it without Content-Encoding."
        assert found[:2] == (415, {"error": sentence})


def test_a_delivery_with_content_encoding_identity_is_taken(service):
    headers = {**_signed(service, DELIVERY), "Content-Encoding": "identity"}
    assert _send(service, "POST", "/webhook/tool-calls", DELIVERY, headers)[0] == 202


def test_a_charset_beside_the_content_type_does_no_harm(service):
    assert _post(service, DELIVERY, content_type="application/json; charset=utf-8")[0] == 202


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        ([("c" * 257, "n", "{}")], "tool_calls[0].id is longer than 256 characters."),
        ([("c", "n" * 257, "{}")], "tool_calls[0].function.name is longer than 256 characters."),
        ([("c\n", "n", "{}")], "tool_calls[0].id holds a character that cannot be printed."),
        (
            [("c", "n", functools.reduce(lambda inner, _: {"a": inner}, range(65), {}))],
            "tool_calls[0].function.arguments is nested deeper than 64 levels.",
        ),
        (
            [(f"c{i}", "n", "{}") for i in range(129)],
            "tool_calls holds 129 entries; at most 128 are taken.",
        ),
    ],
)
def test_a_delivery_beyond_a_limit_is_400_with_a_sentence(service, calls, sentence):
    assert _post(service, delivery("r", *calls)) == (400, {"error": sentence})


def test_a_body_over_a_megabyte_is_413_also_without_a_content_length(service):
    body = b" " * 1_000_001
    expected = (413, {"error": "The body is larger than 1000000 bytes."})
    assert _post(service, body) == expected
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    signed = _signed(service, body)
    found = _send(service, "POST", "/webhook/tool-calls", pieces, signed, chunked=True)
    assert found[:2] == expected


def test_a_delivery_in_chunks_is_taken(service):
    headers = _signed(service, DELIVERY)
    answer = _send(service, "POST", "/webhook/tool-calls", iter([DELIVERY]), headers, chunked=True)
    assert answer[0] == 202


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence", "allowed"),
    [
        ("GET", "/", 404, "There is nothing at this address.", None),
        ("GET", "/metrics", 404, "There is nothing at this address.", None),
        ("POST", "/webhook//tool-calls", 404, "There is nothing at this address.", None),
        ("GET", "//livez", 404, "There is nothing at this address.", None),
        ("POST", "///webhook/tool-calls", 404, "There is nothing at this address.", None),
        ("GET", "/static/x", 404, "There is nothing at this address.", None),
        ("GET", "/webhook/tool-calls", 405, "This address takes no GET.", {"OPTIONS", "POST"}),
        ("PUT", "/webhook/tool-calls", 405, "This address takes no PUT.", {"OPTIONS", "POST"}),
        ("POST", "/livez", 405, "This address takes no POST.", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_any_other_question_is_refused_as_json(service, method, path, status, sentence, allowed):
    found = _send(service, method, path)
    assert found[:2] == (status, {"error": sentence})
    assert found[2]["Content-Type"] == "application/json"
    assert set(found[2].get("Allow", "").split(", ")) == (allowed or {""})


def test_fifty_equal_deliveries_at_once_are_one_run_and_fifty_times_202(service):
    run_id = service.new_run_id()
    with ThreadPoolExecutor(50) as senders:
        answers = list(senders.map(lambda _: service.deliver(run_id, GOOD), range(50)))
    assert [answer.status for answer in answers] == [202] * 50
    assert len({answer.body["key"] for answer in answers}) == 1
    assert sum("duplicate" not in answer.body for answer in answers) == 1
    service.answer(run_id)
    assert len(service.submissions(run_id)) == 1


def test_after_retention_a_key_may_come_again_and_is_answered_anew(service):
    run_id = service.new_run_id()
    key = service.deliver(run_id, GOOD).body["key"]
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    assert service.deliver(run_id, GOOD).body["duplicate"] is True
    assert service.ledger().ttl(f"tw:run:{key}") > 0
    service.ledger().pexpire(f"tw:run:{key}", 1)  # what RUN_RETENTION_S does, a minute at least
    service.wait_for(lambda: not service.entry(key))
    again = service.deliver(run_id, GOOD)
    assert (again.status, again.body) == (
        202,
        {"status": "accepted", "run_id": run_id, "key": key},
    )
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    assert [post["status"] for post in service.submissions(run_id)] == [200, 200]


@pytest.mark.parametrize(
    "other",
    [("good", "search_inventory", "{}"), ("good", "get_order", GOOD[2])],
    ids=["arguments", "name"],
)
def test_the_same_call_ids_with_other_names_or_arguments_are_409(service, other):
    run_id = service.new_run_id()
    assert service.deliver(run_id, GOOD).status == 202
    refused = service.deliver(run_id, other)
    sentence = "These call ids were accepted before with other names, arguments or bound values."
    assert (refused.status, refused.body) == (409, {"error": sentence})


def test_a_delivery_with_expect_100_continue_is_taken(service):
    headers = {**_signed(service, DELIVERY), "Expect": "100-continue"}
    assert _send(service, "POST", "/webhook/tool-calls", DELIVERY, headers)[0] == 202


def test_it_is_live_and_ready(service):
    assert _send(service, "GET", "/livez")[:2] == (200, {"status": "live"})
    assert _send(service, "GET", "/readyz")[:2] == (200, {"status": "ready"})


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_while_the_ledger_is_down_it_is_503_within_a_second_and_never_hangs(
    own_redis_server, tmp_path, how
):
    ledger, body = own_redis_server(), delivery("while-it-is-away")
    headers = {"Content-Type": "application/json", **signed(body)}
    away = 503, {"error": "The run cannot be stored right now; send it again later."}, "5"

    def attempt():
        if how == signal.SIGSTOP:
            os.kill(ledger.pid, how)
        else:
            ledger.stop(how)
        took_s = []
        try:
            for _ in range(3):
                began = time.monotonic()
                status, answer, told = receiver.ask("POST", "/webhook/tool-calls", body, headers)
                took_s.append(time.monotonic() - began)
                assert (status, answer, told["Retry-After"]) == away
            assert receiver.ask("GET", "/livez")[0] == 200
            kind = "TimeoutError" if how == signal.SIGSTOP else "ConnectionError"
            why = f"Not ready: the ledger takes no new runs: it cannot be reached ({kind})."
            assert receiver.ask("GET", "/readyz")[:2] == (503, {"error": why})
        finally:
            if how == signal.SIGSTOP:
                os.kill(ledger.pid, signal.SIGCONT)
            else:
                ledger.start()
        wait_for(lambda: receiver.post(body)[0] == 202)
        return True if max(took_s) < 1 else None

    with running_receiver(tmp_path, ledger.url) as receiver:
        until_unstalled(attempt)


def test_without_a_secret_or_with_a_broken_tool_it_does_not_listen(redis_server, tmp_path):
    (tmp_path / "tools" / "broken").mkdir(parents=True)
    for folder, env, mistake in (
        ("a", {"WEBHOOK_SECRETS": ""}, r"WEBHOOK_SECRETS: is not set"),
        ("b", {"TOOLS_DIR": str(tmp_path / "tools")}, r"broken/tool\.json:1: is missing"),
    ):
        with (
            pytest.raises(StartError, match=rf"ended with 1(.|\n)*{mistake}"),
            running_receiver(tmp_path / folder, redis_server.url, **env),
        ):
            pass
