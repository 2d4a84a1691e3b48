"""Export tools as Terraform (CX as Code) in JSON: integration, credential, one action a tool."""

import json
import re
from typing import Any

from db.catalog import Tool
from ops.exports.action import (
    RAW_RESULT,
    credential,
    request_headers,
    request_template,
    request_url,
)
from ops.exports.shape import Options, action_name, contract

PROVIDER = "mypurecloud/genesyscloud"
_INTEGRATION = "${genesyscloud_integration.toolworker.id}"
_CREDENTIAL = "${genesyscloud_integration_credential.toolworker.id}"


def shared(options: Options) -> dict[str, Any]:
    """Provider, variables, credential and integration."""
    kind, fields = credential(options)
    variables = {field: f"toolworker_{_snake(field)}" for field in fields}
    return {
        "terraform": {"required_providers": {"genesyscloud": {"source": PROVIDER}}},
        "variable": {name: {"type": "string", "sensitive": True} for name in variables.values()},
        "resource": {
            "genesyscloud_integration_credential": {
                "toolworker": {
                    "name": options.category,
                    "credential_type_name": kind,
                    "fields": {field: f"${{var.{name}}}" for field, name in variables.items()},
                }
            },
            "genesyscloud_integration": {
                "toolworker": {
                    "intended_state": "ENABLED",
                    "integration_type": "custom-rest-actions",
                    "config": {
                        "name": options.category,
                        # the provider's documentation has this key for each type of credential
                        "credentials": {"basicAuth": _CREDENTIAL},
                    },
                }
            },
        },
    }


def action(tool: Tool, options: Options) -> dict[str, Any]:
    """One `genesyscloud_integration_action`."""
    shape = contract(tool, options)
    resource = {
        "name": literal(action_name(tool, options)),
        "category": literal(options.category),
        "integration_id": _INTEGRATION,
        "secure": False,
        "config_timeout_seconds": options.timeout_s,
        "contract_input": literal(json.dumps(shape.inputs, ensure_ascii=False)),
        "contract_output": literal(json.dumps(shape.outputs, ensure_ascii=False)),
        "config_request": {
            "request_url_template": literal(request_url(tool, options)),
            "request_type": "POST",
            "request_template": literal(request_template(tool)),
            "headers": {
                name: literal(text) for name, text in request_headers(tool, options).items()
            },
        },
        "config_response": {"success_template": literal(RAW_RESULT)},
    }
    return {"resource": {"genesyscloud_integration_action": {label(tool.name): resource}}}


def label(name: str) -> str:
    """A tool's name as Terraform takes it: a letter or _ first."""
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def literal(text: str) -> str:
    """Text that Terraform reads as it is: its own templates begin with ${ and %{, too."""
    return text.replace("${", "$${").replace("%{", "%%{")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()
