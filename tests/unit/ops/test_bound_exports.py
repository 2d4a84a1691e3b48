"""A bound property in exports: not for the model, External for an agent, and in a header."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from actions.contract import bound_texts, read_arguments
from db import catalog
from db.errors import ToolError
from ops.cli import main
from ops.exports import ava, terraform
from ops.exports.action import api_body, import_file
from ops.exports.shape import Options, action_name
from simulator import agents, contracts
from simulator.templates import render

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / "ops/dev/demo/tools"
MINE = catalog.load(TOOLS).tools["list_my_invoices"]
OPTIONS = Options("https://tools.example.com")
HEADER = "X-Toolworker-Bind-customer-id"


def _rendered(tool, inputs):
    """Body and headers as Genesys would send them."""
    request = import_file(tool, OPTIONS)["config"]["request"]
    values = {f"input.{name}": value for name, value in inputs.items()}
    values["input.rawRequest"] = json.dumps(inputs)
    headers = {name: render(text, values) for name, text in request["headers"].items()}
    return render(request["requestTemplate"], values), headers


def test_the_model_is_given_no_bound_property():
    arguments = ["tools", "export", "--format", "openai", "--dir", str(TOOLS)]
    listed = json.loads(CliRunner().invoke(main, arguments).output)
    (mine,) = [e["function"] for e in listed if e["function"]["name"] == "list_my_invoices"]
    assert list(mine["parameters"]["properties"]) == ["state"]
    assert "customer_id" not in json.dumps(mine)


def test_an_action_has_it_in_its_contract_and_sends_it_in_a_header_alone():
    assert contracts.problems(api_body(MINE, OPTIONS)) == []
    inputs = api_body(MINE, OPTIONS)["contract"]["input"]["inputSchema"]
    assert inputs["required"] == ["customer_id"]
    body, headers = _rendered(MINE, {"customer_id": 42, "state": "OPEN"})
    assert headers[HEADER] == "42"
    assert json.loads(body) == {"conversationId": "", "state": "OPEN"}


def test_an_input_that_is_not_set_is_absent_for_the_endpoint():
    body, headers = _rendered(MINE, {"customer_id": 42})
    text, conversation = read_arguments(MINE, body.encode())
    texts = bound_texts(MINE, {name.lower(): value for name, value in headers.items()})
    values = MINE.values_of_texts(text, texts)
    assert (values, conversation) == ({"customer_id": 42, "state": None}, "")
    body, headers = _rendered(MINE, {})
    texts = bound_texts(MINE, {name.lower(): value for name, value in headers.items()})
    with pytest.raises(ToolError, match="not known for whom"):
        MINE.values_of_texts(read_arguments(MINE, body.encode())[0], texts)


def test_each_type_of_input_is_sent_as_json_has_it():
    properties = {
        **MINE.parameters["properties"],
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "is_new": {"type": "boolean"},
        "limit": {"type": "number"},
    }
    parameters = {**MINE.parameters, "properties": properties, "required": ["text", "count"]}
    tool = replace(MINE, parameters=parameters)
    inputs = {"customer_id": 42, "text": 'a "quoted" \\ line\n', "count": 3, "is_new": False}
    assert json.loads(_rendered(tool, inputs)[0]) == {
        "conversationId": "",
        "state": "",
        "text": 'a "quoted" \\ line\n',
        "count": 3,
        "is_new": False,
    }
    assert json.loads(_rendered(tool, {**inputs, "limit": 0.5})[0])["limit"] == 0.5


@pytest.mark.parametrize("sent", ["42", "43", "null", '""'])
def test_a_body_that_names_it_is_forbidden(sent):
    with pytest.raises(ToolError) as refused:
        read_arguments(MINE, f'{{"customer_id": {sent}}}'.encode())
    assert refused.value.code == "forbidden"


def test_an_agent_takes_it_from_the_flow_and_not_from_the_user():
    definition = agents.merged([ava.shared(), ava.definition(MINE, OPTIONS)])
    assert agents.problems(definition) == []
    (tool,) = definition["tools"]
    found = {e["targetName"]: (e["source"], e["required"]) for e in tool["inputs"]}
    assert found == {"customer_id": ("External", True), "state": ("User", False)}


def test_a_tool_that_begins_to_bind_is_another_action():
    before = replace(MINE, bind={}, parameters={**MINE.parameters, "required": ["customer_id"]})
    assert action_name(before, OPTIONS) != action_name(MINE, OPTIONS)


def test_terraform_sends_the_same():
    text = json.dumps(terraform.action(MINE, OPTIONS))
    assert f'"{HEADER}": "$!{{input.customer_id}}"' in text.replace("$$", "$")
    assert "rawRequest" not in text
