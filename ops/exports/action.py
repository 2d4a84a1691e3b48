"""Export a tool as a data action: the file for Admin's Import, and the body for the API."""

from typing import Any

from actions.contract import CONVERSATION_ID, PATH
from actions.deadline import TIMEOUT_HEADER
from db.catalog import Tool
from db.catalog.bind import action_header
from ops.exports.shape import Options, action_name, contract, input_type

RAW_REQUEST = "${input.rawRequest}"
"""All inputs as one JSON object: no escaping, and what was left out stays out."""
RAW_RESULT = "${rawResult}"


def import_file(tool: Tool, options: Options) -> dict[str, Any]:
    """The file for Admin > Integrations > Actions > Import."""
    kind = {"integrationType": "custom-rest-actions", "actionType": "custom"}
    return {"name": action_name(tool, options), **kind, **_definition(tool, options)}


def api_body(tool: Tool, options: Options) -> dict[str, Any]:
    """The body of `POST /api/v2/integrations/actions` (live at once) or `…/actions/drafts`."""
    frame = {"category": options.category, "integrationId": options.integration_id}
    return {"name": action_name(tool, options), **frame, **_definition(tool, options)}


def request_template(tool: Tool) -> str:
    """
    The body: all inputs, or of a tool that binds those that the model may write.

    An input that is not set would stay in the text as `${input.name}`. So optional text is sent as
    "", which the endpoint takes as absent, and other optional inputs stand behind a condition.
    """
    if not tool.bind:
        return RAW_REQUEST
    required = set(tool.model_parameters.get("required", []))
    properties = tool.model_parameters.get("properties", {})
    # first what is always there, so that each condition can begin with a comma
    members = [] if CONVERSATION_ID in properties else [_text(CONVERSATION_ID)]
    later = []
    for name, schema in properties.items():
        if input_type(schema) == "string":
            members.append(_text(name))
        elif name in required:
            members.append(f'"{name}": ${{input.{name}}}')
        else:
            later.append(f'#if("$!{{input.{name}}}" != ""), "{name}": ${{input.{name}}}#end')
    return f"{{{', '.join(members)}{''.join(later)}}}"


def _text(name: str) -> str:
    return f'"{name}": "$esc.jsonString("$!{{input.{name}}}")"'


def request_url(tool: Tool, options: Options) -> str:
    """Where the action is sent."""
    query = "?errors=inband" if options.is_in_band else ""
    return f"{options.url.rstrip('/')}{PATH}/{tool.name}{query}"


def request_headers(tool: Tool, options: Options) -> dict[str, str]:
    """Headers of the action's request; credentials by their names in the integration."""
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        TIMEOUT_HEADER: str(options.timeout_s),
    }
    headers |= {action_header(name): f"$!{{input.{name}}}" for name in tool.bind}
    if options.auth == "bearer":
        headers["Authorization"] = "Bearer ${credentials.token}"
    elif options.auth.startswith("header:"):
        headers[options.auth.removeprefix("header:")] = "${credentials.apiKey}"
    return headers


def credential(options: Options) -> tuple[str, tuple[str, ...]]:
    """The type of the integration's credential, and its fields."""
    if options.auth == "basic":
        return "basicAuth", ("userName", "password")
    return "userDefined", ("token" if options.auth == "bearer" else "apiKey",)


def _definition(tool: Tool, options: Options) -> dict[str, Any]:
    shape = contract(tool, options)
    return {
        "secure": False,
        "config": {
            "timeoutSeconds": options.timeout_s,
            "request": {
                "requestUrlTemplate": request_url(tool, options),
                "requestType": "POST",
                "headers": request_headers(tool, options),
                "requestTemplate": request_template(tool),
            },
            "response": {
                "translationMap": {},
                "translationMapDefaults": {},
                "successTemplate": RAW_RESULT,
            },
        },
        "contract": {
            "input": {"inputSchema": shape.inputs},
            "output": {"successSchema": shape.outputs},
        },
    }
