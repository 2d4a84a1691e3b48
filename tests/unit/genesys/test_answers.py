"""Bodies, paths, rules and delays of the Genesys client, without a socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys.answer import Answer, json_object
from genesys.client import Client


class NoTokens:
    """A token source that fails the test when it is called."""

    def token(self, timeout_s=5.0):
        raise AssertionError("nothing is to be sent")

    def invalidate(self, token):
        raise AssertionError("nothing is to be sent")


@pytest.fixture(scope="module")
def client():
    return Client("http://127.0.0.1:1/{run_id}", NoTokens(), list_key="tool_calls")


def test_encoding_is_byte_stable_and_survives_any_text(client):
    outputs = [{"tool_call_id": "c", "output": '{"a": "é😀\ud800"}'}]
    body = client.encode(outputs)
    # an emoji takes 4 bytes; half a surrogate pair, which no UTF-8 has, becomes a question mark
    assert body == (
        '{"tool_calls":[{"tool_call_id":"c","output":"{\\"a\\": \\"é😀?\\"}"}]}'.encode()
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("42", 42), ("0", 0), ("-1", None), ("soon", None), ("1e3", None), ("9" * 20, None)],
)  # fmt: skip
def test_retry_after_in_seconds(header, seconds):
    assert Answer(503, {"Retry-After": header}, {}).retry_after_s == seconds


def test_retry_after_as_a_date_is_the_time_until_then():
    assert Answer(503, {"Retry-After": "Fri, 01 Jan 1999 00:00:00 GMT"}, {}).retry_after_s == 0
    far = Answer(503, {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, {}).retry_after_s
    assert far > 10**9


@pytest.mark.parametrize(
    ("header", "remaining"),
    [("299", 299), (" 0 ", 0), ("many", None), ("-1", None), ("9" * 20, None)],
)
def test_what_is_left_of_the_rate_limit_is_read_when_it_is_sent(header, remaining):
    assert Answer(200, {"X-RateLimit-Remaining": header}, {}).rate_limit_remaining == remaining
    assert Answer(200, {}, {}).rate_limit_remaining is None


def test_a_delay_doubles_up_to_ten_seconds_and_is_jittered_over_its_upper_half():
    client = Client("http://127.0.0.1:1/{run_id}", NoTokens(), list_key="tool_calls")
    for retries, full_s in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 10), (5000, 10)]:
        delays = [client.retry_delay_s(retries) for _ in range(200)]
        assert full_s / 2 <= min(delays) < max(delays) <= full_s
    slow = Client("http://127.0.0.1:1/{run_id}", NoTokens(), list_key="t", retry_base_s=30)
    assert 15 <= slow.retry_delay_s(3) <= 30


def test_a_429_without_the_header_is_read_from_its_sentence():
    said = "Rate limit exceeded the maximum. Retry the request in [42] seconds"
    assert Answer(429, {}, {"message": said}).retry_after_s == 42


@given(
    st.text(),
    st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())),
)
def test_no_header_or_body_breaks_the_reading_of_an_answer(header, body):
    answer = Answer(429, {"Retry-After": header, "ININ-Correlation-Id": header}, body)
    assert answer.retry_after_s is None or answer.retry_after_s >= 0
    assert isinstance(answer.message, str)
    assert answer.code is None or isinstance(answer.code, str)


@given(st.lists(st.fixed_dictionaries({"tool_call_id": st.text(), "output": st.text()})))
def test_whatever_is_encoded_reads_back_the_same(client, outputs):
    assert json.loads(client.encode(outputs)) == {"tool_calls": outputs}


def test_the_list_key_is_the_one_that_is_set():
    client = Client("http://127.0.0.1:1/{run_id}", NoTokens(), list_key="tool_outputs")
    assert client.encode([]) == b'{"tool_outputs":[]}'


@given(
    st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6}( [0-9:]{1,9} [-+0-9A-Z]+)?")
)
def test_no_date_breaks_the_reading_of_retry_after(header):
    seconds = Answer(503, {"Retry-After": header}, {}).retry_after_s
    assert seconds is None or seconds >= 0


@given(st.binary())
def test_no_bytes_break_the_reading_of_a_body(raw):
    assert isinstance(json_object(raw), dict)


def test_a_body_nested_beyond_reason_is_no_body():
    assert json_object(b"[" * 65_536) == {}


def test_genesys_message_is_cut_and_stays_on_one_line():
    said = "first\nsecond \x1b[31m\ud800" + "x" * 400
    answer = Answer(422, {"ININ-Correlation-Id": "id\r1"}, {"message": said, "code": "a\nb"})
    assert answer.message == ("first second  [31m " + "x" * 400)[:300]
    assert (answer.code, answer.correlation_id) == ("a b", "id 1")


def test_the_correlation_id_is_the_context_of_the_body_when_the_header_lacks():
    assert Answer(500, {}, {"contextId": "from-body"}).correlation_id == "from-body"
    assert Answer(500, {}, {"contextId": 7}).correlation_id is None


def test_an_oauth_error_is_a_code():
    body = {"error": "invalid_client", "error_description": "authentication failed"}
    answer = Answer(400, {}, body)
    assert (answer.code, answer.message) == ("invalid_client", "authentication failed")
