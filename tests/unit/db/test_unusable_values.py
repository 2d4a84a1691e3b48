"""Arguments that Postgres could not store are named by their place, whatever the schema says."""

import json

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


@pytest.mark.parametrize("text", ["a\\u0000", "é\\u0000", "\\ud800", "é\\udc00"])
def test_text_that_cannot_be_stored_is_named_in_any_script(text):
    assert _violations(f'{{"a": ["b", {{"c": "{text}"}}]}}') == {"/a/1/c": NOT_STORABLE}
    assert _violations(f'{{"a": {{"{text}": 1}}}}') == {"/a": NOT_STORABLE}


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
