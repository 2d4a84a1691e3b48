"""Bound arguments: checked in tool.json, filled in from the delivery, refused from the model."""

import json

import pytest

from db import catalog
from db.catalog.bind import action_header, at_pointer, document_of, from_text
from db.errors import CatalogError, ToolError
from db.lint import offline
from webhook.delivery import read

TOOL = {
    "name": "my_orders",
    "description": "The caller's orders.",
    "parameters": {
        "type": "object",
        "properties": {
            "customer_id": {"type": "integer", "minimum": 1},
            "state": {"type": "string", "enum": ["OPEN", "PAID"]},
        },
        "required": ["customer_id", "state"],
        "additionalProperties": False,
    },
    "bind": {"customer_id": "/context/customer_id"},
}
SQL = "SELECT 1 AS one WHERE 1 = %(customer_id)s AND 'x' = %(state)s"
SOURCE = "/context/customer_id"


@pytest.fixture
def load(tmp_path):
    def load(changes=(), sql=SQL, examples="[]"):
        folder = tmp_path / "my_orders"
        folder.mkdir(exist_ok=True)
        (folder / "tool.json").write_text(json.dumps({**TOOL, **dict(changes)}))
        (folder / "query.sql").write_text(sql)
        (folder / "examples.json").write_text(examples)
        return catalog.load(tmp_path)

    return load


def _error(tools, arguments, context):
    with pytest.raises(ToolError) as refused:
        tools.validate("my_orders", arguments, context)
    return refused.value


def test_the_value_comes_from_the_context_and_the_rest_from_the_model(load):
    _, values = load().validate("my_orders", '{"state": "OPEN"}', {SOURCE: 7})
    assert values == {"customer_id": 7, "state": "OPEN"}


def test_the_model_is_given_a_schema_without_it(load):
    assert load().tools["my_orders"].model_parameters == {
        "type": "object",
        "properties": {"state": {"type": "string", "enum": ["OPEN", "PAID"]}},
        "required": ["state"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("sent", ["7", "8", "null", '""', '"\\u0000"', "[]"])
def test_a_call_that_sends_it_is_forbidden_whatever_it_sends(load, sent):
    error = _error(load(), f'{{"customer_id": {sent}, "state": "OPEN"}}', {SOURCE: 7})
    assert (error.code, error.retryable, error.violations) == ("forbidden", False, ())
    assert "customer" not in str(error)


def test_a_call_that_sends_it_twice_is_forbidden(load):
    error = _error(load(), '{"customer_id": 7, "customer_id": 8, "state": "OPEN"}', {SOURCE: 7})
    assert error.code == "forbidden"


@pytest.mark.parametrize(
    "value", [None, "", "7", 0, -1, True, 1.5, [7], {"id": 7}, "\ud800", "7\x00"]
)
def test_a_value_that_is_missing_or_breaks_the_schema_is_forbidden(load, value):
    error = _error(load(), '{"state": "OPEN"}', {SOURCE: value})
    assert (error.code, error.retryable, error.violations) == ("forbidden", False, ())


def test_a_source_that_the_receiver_did_not_know_is_unavailable(load):
    error = _error(load(), '{"state": "OPEN"}', {})
    assert (error.code, error.retryable) == ("unavailable", True)


def test_no_sentence_names_a_bound_property(load):
    error = _error(load(), '{"customer": 7}', {SOURCE: 7})
    assert error.code == "invalid_arguments"
    assert "customer_id" not in json.dumps(error.violations)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/a/b", 1),
        ("/l/0/id", "first"),
        ("/l/1/id", "second"),
        ("/x~1y", "slash"),
        ("/x~0y", "tilde"),
        ("/x~01y", "both"),
        ("/", "empty name"),
        ("/l/2", None),
        ("/l/-", None),
        ("/l/01/id", None),
        ("/l/+1/id", None),
        ("/l/¹/id", None),
        ("/l/99999999999999999999", None),
        ("/a/b/c", None),
        ("/nothing/there", None),
    ],
)
def test_a_pointer_is_followed_as_rfc_6901_has_it(pointer, found):
    document = {
        "a": {"b": 1},
        "l": [{"id": "first"}, {"id": "second"}],
        "x/y": "slash",
        "x~y": "tilde",
        "x~1y": "both",
        "": "empty name",
    }
    assert at_pointer(document, pointer) == found


@pytest.mark.parametrize(
    "body",
    [
        b'{"context": {"id": 7, "id": 8}}',
        b'{"context": {"id": 7, "\\u0069d": 7}}',
        b'{"context": {"id": 7}, "context": {"id": 8}}',
        b'{"people": [], "context": {"id": 7}, "context": {}}',
    ],
)
def test_a_name_that_is_there_twice_leads_to_nothing(body):
    assert at_pointer(read(body), "/context/id") is None


def test_a_name_that_is_there_twice_elsewhere_leads_where_it_does():
    body = b'{"context": {"id": 7, "name": "a", "name": "b"}, "x": 1, "x": 2}'
    assert at_pointer(read(body), "/context/id") == 7


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("42", "integer", 42),
        ("-1", "integer", -1),
        ("042", "integer", None),
        ("4_2", "integer", None),
        ("٤٢", "integer", None),
        ("1.0", "integer", None),
        ("true", "boolean", True),
        ("True", "boolean", None),
        ("C-1", "string", "C-1"),
        ("C-1, C-2", "string", None),
        ("1,2", "integer", None),
    ],
)
def test_the_text_of_a_header_becomes_a_value_of_the_propertys_type(text, kind, value):
    assert from_text(text, kind) == value


def test_a_header_that_is_bound_is_read_as_the_propertys_type(load):
    tools = load({"bind": {"customer_id": "header:X-Customer"}})
    _, values = tools.validate("my_orders", '{"state": "OPEN"}', {"header:X-Customer": "7"})
    assert values["customer_id"] == 7


def test_the_header_of_an_action_has_no_underscore_which_nginx_would_drop():
    assert action_header("customer_id") == "X-Toolworker-Bind-customer-id"


def test_a_document_is_made_in_which_each_pointer_leads_to_its_value():
    bind = {"a": "/context/a~1b", "b": "/context/people/0/id", "c": "header:X-C", "d": "/d"}
    document = document_of(bind, {"a": 1, "b": 2, "c": 3})
    assert document == {"context": {"a/b": 1, "people": {"0": {"id": 2}}}}
    assert [at_pointer(document, bind[name]) for name in "abd"] == [1, 2, None]


ID = {"type": "integer", "minimum": 1}
STATE = {"type": "string"}


def _parameters(**changes):
    return {"parameters": {**TOOL["parameters"], **changes}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bind": {"customer": "/a"}}, "bind names customer, which is no property"),
        ({"bind": {"customer_id": 7}}, "must be bound to a JSON pointer"),
        ({"bind": {"customer_id": ""}}, "must be bound to a JSON pointer"),
        ({"bind": {"customer_id": "context"}}, "must be bound to a JSON pointer"),
        ({"bind": {"customer_id": "/a~2"}}, "must be bound to a JSON pointer"),
        ({"bind": {"customer_id": "/a\n"}}, "must be bound to a JSON pointer"),
        ({"bind": {"customer_id": "header:"}}, "is bound to no header"),
        ({"bind": {"customer_id": "header:X_Id"}}, "is bound to no header"),
        ({"bind": {"customer_id": "/tool_calls/0/id"}}, "which the model writes"),
        ({"bind": {"customer_id": "/tool_calls"}}, "which the model writes"),
        (
            _parameters(properties={"customer_id": {"type": "number"}, "state": STATE}),
            'must have one "type" of string, integer, boolean',
        ),
        (
            _parameters(properties={"customer_id": {**ID, "default": 1}, "state": STATE}),
            "default of customer_id is never used, because customer_id is bound",
        ),
        (_parameters(minProperties=1), "minProperties would judge bound properties"),
        (
            _parameters(anyOf=[{"required": ["customer_id"]}]),
            "only properties and required may name it",
        ),
        (
            _parameters(
                properties={"customer_id": ID, "state": {"$ref": "#/properties/customer_id"}}
            ),
            "leads to a bound property",
        ),
        (
            _parameters(
                allOf=[{"properties": {"other": ID}}],
                properties={
                    "customer_id": {"$ref": "#/allOf/0/properties/other"},
                    "state": STATE,
                },
            ),
            "is of no use to a bound property; put the schema into definitions",
        ),
        ({"no_rows_message": "Nothing for {customer_id}."}, "the model is told no such value"),
    ],
)
def test_what_cannot_be_bound_is_refused_at_the_start(load, changes, words):
    with pytest.raises(CatalogError, match=r"tool\.json") as refused:
        load(changes)
    assert words in str(refused.value)


def test_two_names_that_differ_in_case_alone_are_refused(load):
    properties = {"customer_id": ID, "Customer_ID": ID, "state": STATE}
    changes = {
        **_parameters(properties=properties),
        "bind": {"customer_id": "/a", "Customer_ID": "/b"},
    }
    with pytest.raises(CatalogError, match="headers and settings have no case"):
        load(changes, sql=f"{SQL} AND 1 = %(Customer_ID)s")


def test_a_bound_property_may_be_there_for_a_policy_alone(load):
    assert load(sql="SELECT 1 AS one WHERE 'x' = %(state)s").tools


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ('{"arguments": {"state": "OPEN"}, "output": {}}', 'it needs "bound": {"customer_id": …}'),
        ('{"arguments": {"state": "OPEN"}, "bound": [], "output": {}}', "bound must be an object"),
        (
            '{"arguments": {"state": "OPEN"}, "bound": {"customer_id": 0}, "output": {}}',
            "customer_id in bound does not fit its schema",
        ),
        (
            '{"arguments": {"state": "OPEN"}, "bound": {"state": 1}, "output": {}}',
            "bound has state, which the tool does not bind",
        ),
        (
            '{"arguments": {"state": "OPEN", "customer_id": 1}, "bound": {"customer_id": 1},'
            ' "output": {}}',
            "customer_id is not known: leave it out",
        ),
    ],
)
def test_an_example_states_its_bound_values(load, example, words):
    with pytest.raises(CatalogError, match=r"examples\.json:1") as refused:
        load(examples=f"[{example}]")
    assert words in str(refused.value)


def test_a_bound_property_is_never_left_out_and_so_no_warning(load, tmp_path):
    parameters = {**TOOL["parameters"], "required": ["state"]}
    load({"parameters": parameters})
    assert list(offline.warnings(tmp_path)) == []

    load({"parameters": {**parameters, "required": []}})
    ((mistake, _),) = [(f.mistake, f.is_warning) for f in offline.warnings(tmp_path)]
    assert mistake.message.startswith("state may be left out")


def test_an_example_may_show_what_is_forbidden(load):
    sent = '{"arguments": {"customer_id": 1}, "code": "forbidden"}'
    missing = '{"arguments": {"state": "OPEN"}, "code": "forbidden"}'
    assert len(load(examples=f"[{sent}, {missing}]").tools["my_orders"].examples) == 2
