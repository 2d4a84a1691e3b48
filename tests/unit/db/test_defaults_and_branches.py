"""Validation of defaults, `$ref` and branches (`anyOf`, `if`) of a schema."""

import json

import pytest

from db.catalog.no_rows import filled
from db.catalog.validate import Validator
from db.errors import ToolError


def _validator(properties, **keywords):
    return Validator(
        {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            **keywords,
        }
    )


def _violations(validator, **arguments):
    with pytest.raises(ToolError) as refused:
        validator.values(json.dumps(arguments))
    return {v["path"]: v["message"] for v in refused.value.violations}


def test_a_required_property_with_a_default_is_missing_all_the_same():
    validator = _validator(
        {"a": {"type": "string", "default": "x"}, "b": {"type": "string"}}, required=["a", "b"]
    )
    assert _violations(validator, b="y") == {"/a": "is required and missing: give a string"}
    assert set(_violations(validator)) == {"/a", "/b"}


def test_a_condition_does_not_see_defaults():
    validator = _validator(
        {"a": {"type": "integer", "default": 1}, "b": {"type": "integer"}},
        **{"if": {"required": ["a"]}, "then": {"required": ["b"]}},
    )
    assert validator.values("{}") == {"a": 1, "b": None}
    assert _violations(validator, a=1) == {"/b": "is required and missing: give a whole number"}


NINE = {"type": "integer", "default": 9}


@pytest.mark.parametrize(
    "schema",
    [
        NINE,
        {"$ref": "#/definitions/nine"},
        {"$ref": "#/definitions/nine_again"},
        {"allOf": [{"$ref": "#/definitions/nine"}]},
        {"$ref": "#/definitions/whole", "default": 9},
        {"allOf": [{"type": "integer"}], "default": 9},
    ],
)
def test_a_default_is_filled_in_wherever_it_stands(schema):
    definitions = {
        "nine": NINE,
        "nine_again": {"$ref": "#/definitions/nine"},
        "whole": {"type": "integer"},
    }
    validator = _validator({"q": schema}, definitions=definitions)
    assert validator.values("{}") == {"q": 9}
    assert validator.values('{"q": 3}') == {"q": 3}


def test_objects_inside_are_filled_in_too_and_what_came_is_left_as_it_is():
    inner = {"type": "object", "properties": {"n": NINE}}
    validator = _validator({"o": inner, "l": {"type": "array", "items": inner}})
    assert validator.values('{"o": {}, "l": [{}, {"n": 1}]}') == {
        "o": {"n": 9},
        "l": [{"n": 9}, {"n": 1}],
    }
    assert validator.values("{}") == {"o": None, "l": None}


def test_a_default_is_the_same_for_each_call():
    validator = _validator({"l": {"type": "array", "default": [{}]}})
    assert validator.values("{}") == validator.values("{}") == {"l": [{}]}


@pytest.mark.parametrize(("text", "fits"), [("$5", True), ("€50", True), ("5$", False)])
def test_a_dollar_in_brackets_is_a_dollar(text, fits):
    validator = _validator({"v": {"type": "string", "pattern": "^[$€]\\d+$"}})
    if fits:
        assert validator.values(json.dumps({"v": text})) == {"v": text}
    else:
        assert _violations(validator, v=text) == {"/v": "must match the pattern ^[$€]\\d+$"}


def test_a_branch_is_described_with_its_authors_words():
    validator = _validator(
        {"d": {"oneOf": [{"type": "integer"}, {"type": "string", "pattern": "^x\\s"}]}}
    )
    assert _violations(validator, d="y") == {
        "/d": "must be a whole number; or a string that matches the pattern ^x\\s."
        " It is closest to the second: it must match the pattern ^x\\s"
    }


@pytest.mark.parametrize("offset", ["+18:00", "-16:00", "+23:59"])
def test_an_offset_that_postgres_does_not_take_is_refused_with_the_reason(offset):
    validator = _validator({"d": {"type": "string", "format": "date-time"}})
    (message,) = _violations(validator, d=f"2026-01-02T03:04:05{offset}").values()
    assert message.endswith(": an offset is at most 15:59")
    assert validator.values('{"d": "2026-01-02T03:04:05+15:59"}')


def test_a_schema_that_recurs_with_progress_is_judged():
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/definitions/node"}, "n": {"type": "integer"}},
        "additionalProperties": False,
    }
    validator = _validator({"v": {"$ref": "#/definitions/node"}}, definitions={"node": node})
    assert validator.values('{"v": {"next": {"next": {"n": 1}}}}')
    assert _violations(validator, v={"next": {"next": {"n": "x"}}}) == {
        "/v/next/next/n": "must be a whole number, without quotes or other letters"
    }


def test_a_message_names_values_as_people_write_them():
    values = {"b": True, "c": ["x", "y"], "n": None, "t": "text", "e": [], "o": {"a": 1.5}, "i": 5}
    assert filled("b={b} c={c} n={n} t={t} e={e} o={o} i={i} {{}}", values) == (
        'b=true c=x, y n=any t=text e=none o={"a":1.5} i=5 {}'
    )
