"""A delivery is read whole, or refused with a sentence."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import cases
from webhook.delivery import delivery_of, read
from webhook.errors import BadDelivery

CALL = {"id": "c-1", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
STRUCTURE = "Invalid payload structure. Expected run_id and tool_calls array."


def _body(**fields):
    return json.dumps({"run_id": "r-1", "tool_calls": [CALL], **fields}).encode()


def _with_arguments(arguments):
    return _body(tool_calls=[{"id": "c-1", "function": {"name": "n", "arguments": arguments}}])


def parse(body):
    return delivery_of(read(body))


def _sentence(body):
    with pytest.raises(BadDelivery) as refused:
        parse(body)
    assert refused.value.status == 400
    return str(refused.value)


def test_run_and_calls_come_out_in_order():
    second = {"id": "c-0", "function": {"name": "search_inventory", "arguments": '{"sku": 1}'}}
    assert parse(_body(tool_calls=[CALL, second], unknown="ignored")) == {
        "run_id": "r-1",
        "tool_calls": [
            {"id": "c-1", "type": "function", "function": {"name": "get_order", "arguments": "{}"}},
            {
                "id": "c-0",
                "type": "function",
                "function": {"name": "search_inventory", "arguments": '{"sku": 1}'},
            },
        ],
    }


def test_a_run_without_calls_is_a_run():
    assert parse(_body(tool_calls=[])) == {"run_id": "r-1", "tool_calls": []}


@pytest.mark.parametrize(
    ("given_arguments", "taken"),
    [
        ("", "{}"),
        (None, "{}"),
        ({"sku": "AB-123"}, '{"sku": "AB-123"}'),
        ([1], "[1]"),
        ("not json", "not json"),
        ('{"a": NaN}', '{"a": NaN}'),
        ("\ud800", "\ud800"),
    ],
)
def test_arguments_are_a_string_whatever_the_sender_made_of_them(given_arguments, taken):
    calls = parse(_with_arguments(given_arguments))["tool_calls"]
    assert calls[0]["function"]["arguments"] == taken


@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b'"text"', b"{}", b'{"run_id": "r"}', b'{"run_id": "", "tool_calls": []}',
     b'{"tool_calls": []}', b'{"run_id": "r", "tool_calls": {}}'],
)  # fmt: skip
def test_a_wrong_structure_is_refused_in_the_known_words(body):
    assert _sentence(body) == STRUCTURE


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is not valid JSON."),
        (b"{", "The body is not valid JSON."),
        (b'{"run_id": NaN}', "The body is not valid JSON."),
        (b"\xff", "The body is not UTF-8."),
        (b"[" * 100_000, "The body is nested too deeply."),
        (_body(run_id=7), "run_id is missing or not a string."),
        (_body(run_id="r-1").replace(b'"r-1"', b"9" * 5000), "run_id is missing or not a string."),
        (_body(run_id="a\nb"), "run_id holds a character that cannot be printed."),
        (_body(run_id="\ud800"), "run_id holds a character that cannot be printed."),
        (_body(run_id="r" * 257), "run_id is longer than 256 characters."),
        (_body(tool_calls=["x"]), "tool_calls[0] is not an object."),
        (_body(tool_calls=[{}]), "tool_calls[0].function is missing or not an object."),
        (_body(tool_calls=[{"function": {"name": "n"}}]),
         "tool_calls[0].id is missing or not a string."),
        (_body(tool_calls=[{"id": "c", "function": {}}]),
         "tool_calls[0].function.name is missing or not a string."),
        (_body(tool_calls=[{"id": "c", "type": "code", "function": {"name": "n"}}]),
         'tool_calls[0].type is not "function".'),
        (_body(tool_calls=[CALL, CALL]), "tool_calls holds the same id twice."),
        (_body(tool_calls=[{**CALL, "id": f"c-{i}"} for i in range(129)]),
         "tool_calls holds 129 entries; at most 128 are taken."),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(body, sentence):
    assert _sentence(body) == sentence


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5000, b"-" + b"9" * 5000])
def test_a_number_that_is_too_large_is_refused_in_arguments_alone(number):
    sentence = "tool_calls[0].function.arguments holds a number that is too large."
    for arguments in ({"n": "here"}, [{"n": ["here"]}], "here"):
        assert _sentence(_with_arguments(arguments).replace(b'"here"', number)) == sentence
    assert parse(_body(unknown="here").replace(b'"here"', number)) == parse(_body())


def _nested(levels):
    value = {}
    for _ in range(levels - 1):
        value = [value]
    return value


def test_arguments_given_as_an_object_may_be_64_levels_deep_and_no_more():
    arguments = _nested(64)
    taken = parse(_with_arguments(arguments))["tool_calls"][0]["function"]["arguments"]
    assert json.loads(taken) == arguments
    sentence = "tool_calls[0].function.arguments is nested deeper than 64 levels."
    for levels in (65, 66, 900):
        assert _sentence(_with_arguments(_nested(levels))) == sentence


@given(st.binary())
def test_no_bytes_raise_anything_but_bad_delivery(body):
    with pytest.raises(BadDelivery):
        parse(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(run_id=_JSON, calls=st.lists(st.fixed_dictionaries({}, optional={
    "id": _JSON, "type": _JSON, "function": st.fixed_dictionaries({}, optional={
        "name": _JSON, "arguments": _JSON})})))  # fmt: skip
def test_every_delivery_is_taken_whole_or_refused(run_id, calls):
    with contextlib.suppress(BadDelivery):
        delivery = parse(json.dumps({"run_id": run_id, "tool_calls": calls}).encode())
        assert [call["id"] for call in delivery["tool_calls"]] == [call["id"] for call in calls]


_SOUND = json.dumps(
    {"x": {"y": [1, 2.5e3, None, "\x01"]}, "run_id": "r", "tool_calls": [CALL, CALL]}
).replace("c-1", "c-2", 1)
_PIECES = st.text(max_size=2) | st.sampled_from(
    ['"', "\\", "null", "NaN", "-", "01", "1e999", "\\ud800", "\\u0000", '"id":"c-1",', '"type":1,',
     "[", "]", "{", "}", ",", ":", "1" * 30, "1" * 5000, "\x00", "/*", "1.", "+1", "\ufeff"]
)  # fmt: skip


@st.composite
def _mutated(draw):
    text = _SOUND
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(_PIECES) + text[at + draw(st.integers(0, 3)) :]
    return text


@settings(max_examples=cases(1000))
@given(_mutated())
def test_what_is_taken_of_a_mutated_delivery_has_ids_names_and_arguments(text):
    with contextlib.suppress(BadDelivery):
        delivery = parse(text.encode("utf-8", "surrogatepass"))
        assert delivery["run_id"].isprintable()
        for call in delivery["tool_calls"]:
            function = call["function"]
            assert {*call} == {"id", "type", "function"}
            assert {*function} == {"name", "arguments"}
            assert 1 <= len(call["id"]) <= 256
            assert 1 <= len(function["name"]) <= 256
            assert isinstance(function["arguments"], str)
            assert function["arguments"]
