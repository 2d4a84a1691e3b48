"""Exports for Genesys: stable bytes, names that follow contracts, escapes, error types."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from actions.responses import STATUSES
from db import catalog
from ops.cli import main
from ops.exports import ava, terraform
from ops.exports.action import api_body, import_file
from ops.exports.files import FORMATS, write
from ops.exports.shape import Options, action_name
from simulator import agents, contracts

ROOT = Path(__file__).resolve().parents[3]
CATALOG = catalog.load(ROOT / "tools")
TOOLS = [CATALOG.tools[name] for name in sorted(CATALOG.tools)]
OPTIONS = Options("https://tools.example.com")


@pytest.mark.parametrize("form", FORMATS)
def test_equal_tools_give_equal_bytes_one_file_a_tool_and_one_for_all(tmp_path, form):
    first, second = tmp_path / "first", tmp_path / "second"
    lines = [*write(TOOLS, form, OPTIONS, first)], [*write(TOOLS, form, OPTIONS, second)]
    assert len(lines[0]) == len(lines[1]) == 4
    files = {path.name: path.read_bytes() for path in first.iterdir()}
    assert files == {path.name: path.read_bytes() for path in second.iterdir()}
    suffix = ".tf.json" if form == "terraform" else ".json"
    names = {"_shared", "get_order", "list_recent_tickets", "search_inventory"}
    assert set(files) == {f"{name}{suffix}" for name in names}
    # again, over what is there: nothing changed
    assert [*write(TOOLS, form, OPTIONS, first)] == lines[0]


@pytest.mark.parametrize("form", FORMATS)
def test_a_changed_contract_is_named_and_has_another_name(tmp_path, form):
    [*_] = write(TOOLS, form, OPTIONS, tmp_path)
    order = CATALOG.tools["get_order"]
    changed = replace(order, columns={**order.columns, "gift": {"type": "boolean"}})
    before, now = (action_name(tool, OPTIONS).split()[-1] for tool in (order, changed))
    assert before != now
    lines = [*write([changed, *TOOLS[1:]], form, OPTIONS, tmp_path)]
    (told,) = [line for line in lines if "the contract changed" in line]
    assert told.startswith(f"get_order: the contract changed from {before} to {now}")


def test_what_is_no_part_of_the_contract_keeps_the_name():
    order = CATALOG.tools["get_order"]
    same = replace(order, timeout_ms=1, statement="SELECT 1", max_rows=1, no_rows_message="No.")
    assert action_name(same, OPTIONS) == action_name(order, OPTIONS)
    assert action_name(order, replace(OPTIONS, timeout_s=20)) == action_name(order, OPTIONS)


def test_the_import_file_of_a_shipped_tool_is_written_out():
    written = import_file(CATALOG.tools["search_inventory"], OPTIONS)
    contract = written.pop("contract")
    assert written == {
        "name": "toolworker search_inventory 6cf0e0",
        "integrationType": "custom-rest-actions",
        "actionType": "custom",
        "secure": False,
        "config": {
            "timeoutSeconds": 10,
            "request": {
                "requestUrlTemplate": "https://tools.example.com/genesys/actions/search_inventory",
                "requestType": "POST",
                "headers": {
                    "Accept": "application/json",
                    "Content-Type": "application/json",
                    "X-Action-Timeout": "10",
                    "X-API-Key": "${credentials.apiKey}",
                },
                "requestTemplate": "${input.rawRequest}",
            },
            "response": {
                "translationMap": {},
                "translationMapDefaults": {},
                "successTemplate": "${rawResult}",
            },
        },
    }
    inputs = contract["input"]["inputSchema"]
    assert inputs["required"] == ["sku", "warehouse"]
    assert inputs["properties"]["warehouse"] == {
        "type": "string",
        "title": "Warehouse",
        "description": "Where to look. One of US_WEST, US_EAST, EU_CENTRAL.",
    }
    outputs = contract["output"]["successSchema"]
    assert outputs["required"] == ["found", "total", "message", "items"]
    assert outputs["properties"]["items"]["items"]["properties"]["quantity"] == {
        "type": "integer",
        "description": "Pieces in the lot.",
    }


@pytest.mark.parametrize("auth", ["basic", "bearer", "header:X-Other"])
@pytest.mark.parametrize("is_in_band", [False, True])
def test_every_way_to_export_is_one_that_genesys_takes(auth, is_in_band):
    options = replace(OPTIONS, auth=auth, is_in_band=is_in_band, has_conversation_id=True)
    for tool in TOOLS:
        for written in (import_file(tool, options), api_body(tool, options)):
            assert contracts.problems(written) == []
            query = "?errors=inband" if is_in_band else ""
            url = written["config"]["request"]["requestUrlTemplate"]
            assert url == f"https://tools.example.com/genesys/actions/{tool.name}{query}"
            outputs = written["contract"]["output"]["successSchema"]["properties"]
            assert ("retryable" in outputs) is is_in_band


def test_terraform_reads_no_template_of_ours_as_its_own():
    order = CATALOG.tools["get_order"]
    tool = replace(order, description="Costs ${price} or %{if} less.")
    written = terraform.action(tool, OPTIONS)
    resource = written["resource"]["genesyscloud_integration_action"]["get_order"]
    assert resource["config_request"]["request_template"] == "$${input.rawRequest}"
    assert resource["config_response"]["success_template"] == "$${rawResult}"
    assert resource["config_request"]["headers"]["X-API-Key"] == "$${credentials.apiKey}"
    # the one that is meant for Terraform
    assert resource.pop("integration_id") == "${genesyscloud_integration.toolworker.id}"
    text = json.dumps(resource)
    assert "Costs $${price} or %%{if} less." in text
    assert re.findall(r"(?<![$])\$\{|(?<![%])%\{", text) == []
    # undone as Terraform does, the contract is the import file's
    inputs = resource["contract_output"].replace("$${", "${").replace("%%{", "%{")
    assert json.loads(inputs) == import_file(tool, OPTIONS)["contract"]["output"]["successSchema"]


def test_a_label_of_terraform_begins_with_a_letter():
    assert [terraform.label(name) for name in ("9_lives", "find-item", "_x")] == [
        "_9_lives", "find-item", "_x"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("auth", "kind", "fields"),
    [
        ("header:X-API-Key", "userDefined", {"apiKey": "${var.toolworker_api_key}"}),
        ("bearer", "userDefined", {"token": "${var.toolworker_token}"}),
        ("basic", "basicAuth", {"userName": "${var.toolworker_user_name}",
                                "password": "${var.toolworker_password}"}),
    ],
)  # fmt: skip
def test_a_credential_has_its_fields_from_variables_that_are_secret(auth, kind, fields):
    written = terraform.shared(replace(OPTIONS, auth=auth))
    credential = written["resource"]["genesyscloud_integration_credential"]["toolworker"]
    assert (credential["credential_type_name"], credential["fields"]) == (kind, fields)
    assert all(variable["sensitive"] for variable in written["variable"].values())
    assert len(written["variable"]) == len(fields)


def test_the_agents_definition_has_nothing_that_genesys_refuses():
    parts = [ava.shared(), *(ava.definition(tool, OPTIONS) for tool in TOOLS)]
    whole = agents.merged(parts)
    assert agents.problems(whole) == []
    assert [tool["name"] for tool in whole["tools"]] == [
        "GetOrder", "ListRecentTickets", "SearchInventory"
    ]  # fmt: skip
    warehouse = [t for t in whole["types"] if t["name"] == "SearchInventoryWarehouse"]
    assert warehouse[0]["enum"] == ["US_WEST", "US_EAST", "EU_CENTRAL"]


def test_a_conversations_id_is_no_question_to_the_model():
    options = replace(OPTIONS, has_conversation_id=True)
    (tool,) = ava.definition(CATALOG.tools["get_order"], options)["tools"]
    sources = {entry["targetName"]: entry["source"] for entry in tool["inputs"]}
    assert sources == {"order_number": "User", "conversationId": "External"}


def test_each_status_of_the_endpoint_is_in_one_error_type_with_the_documents_words():
    statuses = [status for _, listed, _ in ava.ERRORS for status in listed]
    assert len(statuses) == len(set(statuses))
    assert set(statuses) == {401, 405, 413, 429, *STATUSES.values()}
    page = (ROOT / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\d, ]+) \| (.*) \|$", page, re.MULTILINE)
    listed = [(name, tuple(map(int, numbers.split(", "))), text) for name, numbers, text in rows]
    assert listed == list(ava.ERRORS)


def test_every_code_of_the_documents_has_a_status():
    page = (ROOT / "docs" / "errors.md").read_text()
    codes = set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))
    assert codes <= set(STATUSES)
    page = (ROOT / "docs" / "genesys-actions.md").read_text()
    for code, status in STATUSES.items():
        assert re.search(rf"^\| [^|]*`{code}`[^|]*\| {status} \|", page, re.MULTILINE), code


def _typed(*words):
    return CliRunner().invoke(main, ["tools", "export", "--dir", str(ROOT / "tools"), *words])


def test_the_command_names_what_is_missing(tmp_path):
    out = ["--out", str(tmp_path)]
    for words, told in (
        (["--format", "genesys-action", *out], "such as https://tools.example.com"),
        (["--format", "terraform", "--url", "http://x", *out], "https:// and a host"),
        (["--format", "ava"], "--out names the folder"),
        (["--format", "ava", "--errors", "inband", *out], "agents read the status alone"),
        (["--format", "ava", "--auth", "digest", *out], "basic, bearer or header:NAME"),
    ):
        result = _typed(*words)
        assert result.exit_code == 2
        assert told in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_tool_that_breaks_a_rule_is_named_and_nothing_is_written(tmp_path):
    words = ["--dir", str(ROOT / "ops" / "dev" / "demo" / "tools"), "--format", "ava", "--out"]
    result = CliRunner().invoke(main, ["tools", "export", *words, str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "slow_report/tool.json:1: columns is missing" in result.output
    assert not (tmp_path / "out").exists()
