"""Any arguments end in values, or in an error sentence that a model can act on."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.arguments import parse
from db.catalog.validate import Validator
from db.errors import ToolError

SCHEMA = {
    "type": "object",
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z]{2,4}-\\d{3,6}$"},
        "size": {"type": "string", "enum": ["S", "M"]},
        "limit": {"type": "integer", "minimum": 1, "maximum": 20, "default": 5},
        "since": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
    "required": ["sku"],
    "additionalProperties": False,
}
VALIDATOR = Validator(SCHEMA)


def _violations(**arguments):
    with pytest.raises(ToolError) as refused:
        VALIDATOR.values(json.dumps(arguments))
    assert refused.value.code == "invalid_arguments"
    return {v["path"]: v["message"] for v in refused.value.violations}


def test_every_property_has_a_value_given_default_or_none():
    assert VALIDATOR.values('{"sku": "AB-123", "size": "M"}') == {
        "sku": "AB-123",
        "size": "M",
        "limit": 5,
        "since": None,
        "tags": None,
    }


def test_all_that_is_wrong_is_listed_with_what_would_be_right():
    assert _violations(
        size="XL", limit=0, since="2026-02-30", tags=["a", 1, "c"], colour="red"
    ) == {
        "/sku": "is required and missing:"
        " give a string that matches the pattern ^[A-Z]{2,4}-\\d{3,6}$",
        "/size": 'must be one of "S", "M"',
        "/limit": "must be from 1 to 20",
        "/since": "must be a date as YYYY-MM-DD, for example 2026-02-28: there is no such day",
        "/tags": "must have at most 2 items; it has 3",
        "/tags/1": "must be a string: put it into quotes",
        "/colour": "is not known: leave it out (known: sku, size, limit, since, tags)",
    }


@pytest.mark.parametrize("sku", ["AB-123\n", " AB-123", "ab-123", 5, None, True])
def test_a_value_that_only_nearly_fits_is_refused(sku):
    assert "/sku" in _violations(sku=sku)


@pytest.mark.parametrize("limit", [True, "5", 5.5, 21])
def test_an_integer_is_an_integer_within_its_bounds(limit):
    assert "/limit" in _violations(sku="AB-123", limit=limit)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("{", "invalid_json"),
        ("NaN", "invalid_json"),
        ('{"sku": Infinity}', "invalid_json"),
        ('{"a":' * 10_000, "invalid_json"),
        ("[" * 10_000 + "]" * 10_000, "invalid_json"),
        ('{"a":' * 100 + "1" + "}" * 100, "invalid_json"),
        ('{"limit": ' + "9" * 5_000 + "}", "invalid_arguments"),
        ('{"limit": 0.' + "9" * 5_000 + "}", "invalid_arguments"),
        ('{"limit": 1e-99999999999999999999}', "invalid_arguments"),
        ("[]", "invalid_arguments"),
        ('"text"', "invalid_arguments"),
        ('{"sku": "a\\u0000"}', "invalid_arguments"),
        ('{"a\\u0000": 1}', "invalid_arguments"),
        ('{"sku": "\\udc00"}', "invalid_arguments"),
        (json.dumps({"sku": "x" * 70_000}), "too_large"),
        (json.dumps({"sku": "é" * 33_000}, ensure_ascii=False), "too_large"),
    ],
)
def test_what_is_no_usable_json_object_has_its_code(arguments, code):
    with pytest.raises(ToolError) as refused:
        parse(arguments)
    assert refused.value.code == code


def test_an_empty_string_is_an_empty_object():
    assert parse("") == {}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_no_text_raises_anything_but_a_tool_error(text):
    with pytest.raises(ToolError):
        VALIDATOR.values(text or "0")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), _JSON))
def test_every_object_is_values_or_a_list_of_violations(arguments):
    try:
        values = VALIDATOR.values(json.dumps(arguments))
    except ToolError as refused:
        assert refused.violations or refused.code == "invalid_json"  # noqa: PT017
    else:
        assert set(values) == set(SCHEMA["properties"])


def test_of_thousands_of_violations_a_hundred_are_listed_and_the_rest_named():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": False,
    }
    with pytest.raises(ToolError) as refused:
        Validator(schema).values(json.dumps({"a": list(range(5000))}))
    *listed, last = refused.value.violations
    assert [v["path"] for v in listed] == [f"/a/{n}" for n in range(100)]
    assert last == {"path": "", "message": "has more mistakes; correct these first"}


def test_a_name_of_60_kb_is_not_repeated_whole():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    with pytest.raises(ToolError) as refused:
        Validator(schema).values(json.dumps({"x" * 60_000: 1}))
    assert refused.value.violations == (
        {
            "path": "/" + "x" * 199 + "…",
            "message": "is not known: leave it out; there are no properties here",
        },
    )
