"""Exports have the fields, types and enums of the models in Genesys' own SDK."""

import re

import pytest

from db import catalog
from ops.exports import ava
from ops.exports.action import api_body, import_file
from ops.exports.shape import Options
from tests.endpoint import ROOT

pytestmark = pytest.mark.conformance

CATALOG = catalog.load(ROOT / "tools")
TOOLS = [CATALOG.tools[name] for name in sorted(CATALOG.tools)]
OPTIONS = [
    Options("https://tools.example.com", auth=auth, is_in_band=is_in_band, has_conversation_id=has)
    for auth in ("header:X-API-Key", "basic", "bearer")
    for is_in_band in (False, True)
    for has in (False, True)
]
SIMPLE = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}
OUTDATED = "outdated_sdk_version"  # what a setter makes of a value that its enum does not have


@pytest.fixture(scope="module")
def sdk():
    import PureCloudPlatformClientV2  # large, and only here

    return PureCloudPlatformClientV2


def violations(sdk, kind, value, at=""):
    """What *value* has that the model, list or simple type *kind* does not allow."""
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{at} is no list"]
        parts = ((f"{at}/{number}", part) for number, part in enumerate(value))
        return [v for place, part in parts for v in violations(sdk, match[1], part, place)]
    if match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            return [f"{at} is no object"]
        return [
            v for n, part in value.items() for v in violations(sdk, match[1], part, f"{at}/{n}")
        ]
    if kind in SIMPLE:
        is_wrong = not isinstance(value, SIMPLE[kind])
        is_wrong |= kind == "int" and isinstance(value, bool)
        return [f"{at} is no {kind}"] if is_wrong else []
    return _of_model(sdk, getattr(sdk, kind)(), value, at)


def _of_model(sdk, model, value, at):
    if not isinstance(value, dict):
        return [f"{at} is no object"]
    attributes = {key: name for name, key in model.attribute_map.items()}
    found = []
    for key, part in value.items():
        if key not in attributes:
            found.append(f"{at}/{key} is unknown")
            continue
        name = attributes[key]
        found += violations(sdk, model.swagger_types[name], part, f"{at}/{key}")
        setattr(model, name, part)
        if getattr(model, name) == OUTDATED:
            found.append(f"{at}/{key} is no value of the enum")
    return found


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_the_api_body_is_a_post_action_input(sdk, options):
    for tool in TOOLS:
        assert violations(sdk, "PostActionInput", api_body(tool, options)) == []


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_the_import_file_as_a_body_has_the_two_keys_that_are_the_files_own(sdk, options):
    for tool in TOOLS:
        found = violations(sdk, "PostActionInput", import_file(tool, options))
        assert found == ["/integrationType is unknown", "/actionType is unknown"]


def test_every_type_input_and_error_of_an_agent_is_a_model_of_the_sdk(sdk):
    for options in OPTIONS:
        parts = [ava.shared(), *(ava.definition(tool, options) for tool in TOOLS)]
        for part in parts:
            kind = "list[AgenticVirtualAgentTypeDefinition]"
            assert violations(sdk, kind, part["types"]) == []
            for tool in part.get("tools", ()):
                kind = "list[AgenticVirtualAgentToolInput]"
                assert violations(sdk, kind, tool["inputs"]) == []
                kind = "list[AgenticVirtualAgentToolError]"
                assert violations(sdk, kind, tool["errors"]) == []
                kind = "AgenticVirtualAgentTargetReferenceDefinition"
                assert violations(sdk, kind, tool["target"]) == []


def test_a_model_that_the_sdk_makes_of_a_body_is_the_body_again(sdk):
    body = api_body(TOOLS[0], OPTIONS[0])
    model = sdk.PostActionInput()
    for name, key in model.attribute_map.items():
        setattr(model, name, body[key])
    assert sdk.ApiClient().sanitize_for_serialization(model) == body


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("AgenticVirtualAgentTypeDefinition", {"nme": "x"}, ["/nme is unknown"]),
        ("AgenticVirtualAgentTypeDefinition", {"enum": "x"}, ["/enum is no list"]),
        ("AgenticVirtualAgentTypeDefinition", {"type": "text"}, ["/type is no value of the enum"]),
        ("AgenticVirtualAgentToolInput", {"source": "Me"}, ["/source is no value of the enum"]),
        ("ActionConfig", {"timeoutSeconds": "10"}, ["/timeoutSeconds is no int"]),
        ("RequestConfig", {"headers": {"A": 1}}, ["/headers/A is no str"]),
    ],
)
def test_what_is_wrong_would_be_found(sdk, kind, value, told):
    assert violations(sdk, kind, value) == told
