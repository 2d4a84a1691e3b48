"""Exports against the schema that Genesys' Terraform provider publishes."""

import re

import pytest

from db import catalog
from ops.exports import ava, terraform
from ops.exports.shape import Options
from tests.endpoint import ROOT

CATALOG = catalog.load(ROOT / "tools")
TOOLS = [CATALOG.tools[name] for name in sorted(CATALOG.tools)]
OPTIONS = [Options("https://tools.example.com", auth=a) for a in ("basic", "bearer", "header:X-K")]

# github.com/MyPureCloud/terraform-provider-genesyscloud, docs/resources/<name>.md:
# integration_action at 0493a769, integration_credential at 10ffe534, integration at 2440dac5,
# agentic_virtual_agent_version at 24c207ee. Attribute to type; ! where it is required.
TEXTS = "map of String"
RESOURCES = {
    "genesyscloud_integration_action": {
        "category!": "String",
        "contract_input!": "String",
        "contract_output!": "String",
        "integration_id!": "String",
        "name!": "String",
        "config_timeout_seconds": "Number",
        "secure": "Boolean",
        "config_request": {
            "request_type!": "String",
            "headers": TEXTS,
            "request_template": "String",
            "request_url_template": "String",
        },
        "config_response": {
            "success_template": "String",
            "translation_map": TEXTS,
            "translation_map_defaults": TEXTS,
        },
    },
    "genesyscloud_integration_credential": {
        "credential_type_name!": "String",
        "fields": TEXTS,
        "name": "String",
    },
    "genesyscloud_integration": {
        "integration_type!": "String",
        "intended_state": "String",
        "config": {
            "advanced": "String",
            "credentials": TEXTS,
            "name": "String",
            "notes": "String",
            "properties": "String",
        },
    },
}
AGENT = {
    "tools": {
        "description!": "String",
        "name!": "String",
        "target!": {"id!": "String", "name": "String"},
        "type!": "String",
        "errors": [{"type!": "String", "instruction": "String"}],
        "inputs": [
            {"source!": "String", "target_name!": "String", "type!": "String",
             "fallback_to_user": "Boolean", "required": "Boolean"}
        ],
        "output": "String",
        "output_instructions": [{"then!": "String", "type!": "String", "when": "String"}],
    },
    "types": {
        "name!": "String",
        "default_instruction": "String",
        "description": "String",
        "direction": "String",
        "enum_values": ["String"],
        "items": "String",
        "properties": [
            {"name!": "String", "type!": "String", "description": "String", "items": "String",
             "required": "Boolean"}
        ],
        "status_codes": ["Number"],
        "type": "String",
    },
}  # fmt: skip


def violations(value, schema, at=""):
    """What *value* has that the schema does not, and what it lacks."""
    if isinstance(schema, list):
        parts = value if isinstance(value, list) else [f"{at} is no list"]
        return [v for n, part in enumerate(parts) for v in violations(part, schema[0], f"{at}/{n}")]
    if isinstance(schema, dict):
        known = {name.rstrip("!"): part for name, part in schema.items()}
        lacking = [n[:-1] for n in schema if n.endswith("!") and n[:-1] not in value]
        found = [f"{at}/{name} is unknown" for name in value if name not in known]
        found += [f"{at}/{name} is missing" for name in lacking]
        for name in value:
            if name in known:
                found += violations(value[name], known[name], f"{at}/{name}")
        return found
    kinds = {"String": str, "Number": int, "Boolean": bool, TEXTS: dict}
    is_wrong = not isinstance(value, kinds[schema]) or (
        schema == "Number" and isinstance(value, bool)
    )
    if schema == TEXTS and not is_wrong:
        is_wrong = not all(isinstance(text, str) for text in value.values())
    return [f"{at} is no {schema}"] if is_wrong else []


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: o.auth)
def test_every_resource_has_the_attributes_of_the_provider(options):
    seen = set()
    for part in [terraform.shared(options), *(terraform.action(t, options) for t in TOOLS)]:
        for kind, resources in part["resource"].items():
            seen.add(kind)
            for resource in resources.values():
                assert violations(resource, RESOURCES[kind]) == []
    assert seen == set(RESOURCES)


def test_an_agents_definition_has_the_attributes_of_the_provider():
    for part in [ava.shared(), *(ava.definition(tool, OPTIONS[0]) for tool in TOOLS)]:
        for block, schema in AGENT.items():
            for entry in part.get(block, ()):
                assert violations(_snake(entry), schema) == []


def _snake(value):
    """The API's names as the provider writes them."""
    if isinstance(value, list):
        return [_snake(part) for part in value]
    if not isinstance(value, dict):
        return value
    names = {name: re.sub(r"([A-Z])", r"_\1", name).lower() for name in value}
    names["enum"] = "enum_values"
    return {names[name]: _snake(part) for name, part in value.items()}


def test_what_is_wrong_would_be_found():
    schema = RESOURCES["genesyscloud_integration_action"]["config_request"]
    found = violations({"requestType": "POST"}, schema)
    assert found == ["/requestType is unknown", "/request_type is missing"]
    assert violations({"headers": {"a": 1}}, {"headers": TEXTS}) == [f"/headers is no {TEXTS}"]
    assert violations({"secure": "no"}, {"secure": "Boolean"}) == ["/secure is no Boolean"]
