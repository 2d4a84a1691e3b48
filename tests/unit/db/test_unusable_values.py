"""Arguments that Postgres could not store are named by their place, whatever the schema says."""

import json
import sys

import pytest

from db.arguments import parse
from db.errors import ToolError

NOT_STORABLE = (
    "holds a character that cannot be stored (NUL or half a surrogate pair): leave it out"
)
TWICE = "is given twice: give it once"
AGAIN = "Write them again as one JSON object."


def _violations(text):
    with pytest.raises(ToolError) as refused:
        parse(text)
    assert refused.value.code == "invalid_arguments"
    return {v["path"]: v["message"] for v in refused.value.violations}


def test_arguments_of_more_than_64_kb_are_not_read():
    with pytest.raises(ToolError) as refused:
        parse('{"a": "' + "é" * 32_765 + '"}')
    assert refused.value.code == "too_large"
    assert str(refused.value) == "The arguments are too large. Send less than 64 kB."
    assert parse('{"a": "' + "é" * 32_763 + 'b"}') == {"a": "é" * 32_763 + "b"}


@pytest.mark.parametrize("text", ["a\\u0000", "é\\u0000", "\\ud800", "é\\udc00"])
def test_text_that_cannot_be_stored_is_named_in_any_script(text):
    assert _violations(f'{{"a": ["b", {{"c": "{text}"}}]}}') == {"/a/1/c": NOT_STORABLE}
    assert _violations(f'{{"a": {{"{text}": 1}}}}') == {"/a": NOT_STORABLE}


@pytest.mark.parametrize("beside", ['{"x": 1}', "[1]", '[[], {"x": {}}]'])
def test_all_places_are_looked_at_whatever_is_beside_them(beside):
    found = {"/a": NOT_STORABLE, "/c/1": NOT_STORABLE}
    assert _violations(f'{{"a": "\\u0000", "b": {beside}, "c": [1, "\\u0000", {beside}]}}') == found


def test_what_was_found_before_a_name_that_is_given_twice_is_listed_too():
    text = '{"a": {"m": 1, "m": 2}, "b": {"n": 1, "n": 2}, "c": "\\u0000"}'
    assert _violations(text) == {"/a/m": TWICE, "/b/n": TWICE, "/c": NOT_STORABLE}


def test_many_are_refused_too_and_the_list_is_not_long():
    assert len(_violations(json.dumps({f"p{n}": "\0" for n in range(500)}))) == 21


def test_the_largest_number_that_a_double_holds_is_taken_and_a_larger_one_named():
    assert parse('{"a": 1.7976931348623157e308}') == {"a": 17976931348623157 * 10**292}
    largest = int(sys.float_info.max)
    assert parse(f'{{"a": {largest}}}') == {"a": largest}
    larger = str(10**309)
    assert _violations(f'{{"a": [1, {larger}]}}') == {
        "/a/1": "is too large a number: write a smaller one"
    }


@pytest.mark.parametrize("number", ["1e-1001", "0." + "1" * 1_000, "1e-9999999999999999999"])
def test_a_number_of_more_digits_than_are_kept_is_named(number):
    assert _violations(f'{{"a": [1, {number}]}}') == {
        "/a/1": "has more digits than can be kept: round it"
    }


def test_a_place_is_a_json_pointer_with_its_two_escapes():
    assert _violations('{"a/b": {"m~n": 1, "m~n": 2}}') == {"/a~1b/m~0n": TWICE}


@pytest.mark.parametrize(
    ("length", "path"),
    [(199, "/" + "x" * 199), (200, "/" + "x" * 199 + "…"), (5_000, "/" + "x" * 199 + "…")],
)
def test_a_place_of_more_than_200_characters_is_cut(length, path):
    assert _violations(json.dumps({"x" * length: "\0"})) == {path: NOT_STORABLE}


def test_the_object_may_hold_64_levels_and_no_more():
    def nested(levels):
        return '{"a": ' + "[" * levels + "]" * levels + "}"

    assert list(parse(nested(64))) == ["a"]
    with pytest.raises(ToolError) as refused:
        parse(nested(65))
    assert refused.value.code == "invalid_json"
    sentence = f"The arguments are nested more than 64 levels deep. {AGAIN}"
    assert str(refused.value) == sentence
