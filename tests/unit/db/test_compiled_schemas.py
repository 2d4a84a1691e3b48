"""Which library judges a schema: fastjsonschema, or jsonschema where the fast one is wrong."""

import pytest

from db.catalog.validate import Validator, compile_schema
from db.errors import ToolError

PLAIN = {
    "type": "object",
    "title": "{t}",
    "description": "A plain schema, as most are.",
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z]{2}$", "maxLength": 2},
        "n": {"$ref": "#/definitions/n"},
    },
    "definitions": {"n": {"type": "integer", "maximum": 5}},
    "required": ["sku"],
}


@pytest.fixture
def slow(monkeypatch):
    """Schemas that were given to jsonschema, and values that it judged or explained."""
    found = []

    class Slow:
        def __init__(self, schema):
            self.schema = schema

        def is_valid(self, value):
            found.append((self.schema, value))
            return True

        def violations(self, value):
            found.append((self.schema, value))
            return ({"path": "/sku", "message": "is wrong"},)

    monkeypatch.setattr("db.catalog.validate.Explainer", Slow)
    return found


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [({"sku": "AB"}, True), ({"sku": "AB", "n": 6}, False), ({"sku": "Ab"}, False), ({}, False)],
)
def test_a_plain_schema_is_judged_by_fastjsonschema(slow, value, is_valid):
    assert compile_schema(PLAIN)(value) is is_valid
    assert slow == []


@pytest.mark.parametrize(
    "schema",
    [
        {"multipleOf": 3},
        {"patternProperties": {"^a": {"type": "string"}}},
        {"properties": {"a{": {}}},
        {"properties": {"a}": {}}},
        {"definitions": {"{a": {}}, "$ref": "#/definitions/{a"},
        {"items": {"anyOf": [{"properties": {"a": {"properties": {"{}": {}}}}}]}},
    ],
)
def test_what_fastjsonschema_would_judge_wrong_is_judged_by_jsonschema(slow, schema):
    assert compile_schema(schema)("a value") is True
    assert slow == [(schema, "a value")]


@pytest.mark.parametrize(
    ("schema", "value", "is_valid"),
    [
        ({"multipleOf": 3}, 5e-324, False),
        ({"multipleOf": 0.1}, 0.3, True),
        ({"patternProperties": {"^\\d$": {"type": "string"}}}, {"٣": 1}, True),
        ({"patternProperties": {"^\\d$": {"type": "string"}}}, {"3": 1}, False),
        ({"properties": {"{a": {"type": "string"}}}, {"{a": 1}, False),
        ({"properties": {"a}": {"type": "string"}}}, {"a}": 1}, False),
        ({"pattern": "^a", "allOf": [{"maxLength": 2}]}, "ab", True),
        ({"pattern": "^a", "allOf": [{"maxLength": 2}]}, "abc", False),
        ({"pattern": "^a", "allOf": [{"maxLength": 2}]}, "b", False),
        ({"pattern": "^\\d$"}, "٣", False),
    ],
)
def test_values_are_judged_as_json_schema_has_it(schema, value, is_valid):
    assert compile_schema(schema)(value) is is_valid


def test_only_arguments_that_were_refused_are_explained(slow):
    validator = Validator(PLAIN)
    assert validator.values('{"sku": "AB"}') == {"sku": "AB", "n": None}
    assert slow == []
    with pytest.raises(ToolError):
        validator.values('{"sku": 5}')
    assert slow == [(PLAIN, {"sku": 5})]


def test_what_may_not_be_sent_is_refused_before_it_is_judged():
    seen = []

    def reject(given):
        seen.append(given)
        raise ToolError("forbidden", "the model does not send this")

    with pytest.raises(ToolError) as refused:
        Validator(PLAIN, reject=reject).values('{"sku": "\\u0000"}')
    assert refused.value.code == "forbidden"
    assert seen == [{"sku": "\0"}]
