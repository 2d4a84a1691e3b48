"""Validation of a data action's definition, as Genesys does on import, post and publish."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = {"orgId", "integrationId", "rawRequest"}
_SIMPLE = {"string", "integer", "number", "boolean"}
_COMBINERS = {"$ref", "oneOf", "anyOf", "allOf", "not", "if", "then", "else", "dependencies"}
_METHODS = {"GET", "PUT", "POST", "PATCH", "DELETE"}
_FILE_KEYS = {"name", "integrationType", "actionType", "config", "contract", "secure"}
_BODY_KEYS = {"name", "category", "integrationId", "config", "contract", "secure"}
_MAX_NAME = 256
_MAX_TIMEOUT_S = 60
_MAX_DEPTH = 50


def problems(action: Any) -> list[str]:
    """
    Everything that an import file, or the body of `POST /api/v2/integrations/actions`, has wrong.

    Returns:
        A sentence each; none when Genesys would take it.
    """
    if not isinstance(action, Mapping):
        return ["the action is an object"]
    return [*_frame(action), *_config(action.get("config")), *_contract(action.get("contract"))]


def _frame(action: Mapping[str, Any]) -> Iterator[str]:
    is_file = bool({"integrationType", "actionType"} & set(action))
    known = _FILE_KEYS if is_file else _BODY_KEYS
    for key in sorted(set(action) ^ known):
        yield f"{key} is {'unknown' if key in action else 'missing'}"
    for key, value in (("integrationType", "custom-rest-actions"), ("actionType", "custom")):
        if action.get(key, value) != value:
            yield f"{key} is {value} for web services"
    for key in ("name", "category"):
        text = action.get(key, "x")
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_NAME:
            yield f"{key} has 1 to {_MAX_NAME} characters"
    if not isinstance(action.get("secure"), bool):
        yield "secure is true or false"
    if _depth(action) > _MAX_DEPTH:
        yield f"JSON is nested deeper than {_MAX_DEPTH} levels"


def _config(config: Any) -> Iterator[str]:
    parts = config if isinstance(config, Mapping) else {}
    request, response = parts.get("request"), parts.get("response")
    if not isinstance(request, Mapping) or not isinstance(response, Mapping):
        yield "config has a request and a response"
        return
    timeout_s = parts.get("timeoutSeconds", _MAX_TIMEOUT_S)
    if not isinstance(timeout_s, int) or not 1 <= timeout_s <= _MAX_TIMEOUT_S:
        yield f"timeoutSeconds is 1 to {_MAX_TIMEOUT_S}"
    if not isinstance(request.get("requestTemplate"), str):
        yield "missing the requesttemplate config request definition"
    if request.get("requestType") not in _METHODS:
        yield f"requestType is one of {', '.join(sorted(_METHODS))}"
    if not str(request.get("requestUrlTemplate")).startswith("https://"):
        yield "requestUrlTemplate begins with https://"
    headers = request.get("headers", {})
    if not isinstance(headers, Mapping) or not all(isinstance(v, str) for v in headers.values()):
        yield "headers are names and texts"
    elif not re.fullmatch(r"application/(\S+\+)?json", headers.get("Accept", "application/json")):
        yield "INVALID_SCHEMA: Accept is a JSON media type"
    if response.get("translationMap") or response.get("translationMapDefaults"):
        yield "translationMap is not simulated"
    if not isinstance(response.get("successTemplate"), str):
        yield "successTemplate is a text"


def _contract(contract: Any) -> Iterator[str]:
    parts = contract if isinstance(contract, Mapping) else {}
    given = (parts.get("input") or {}).get("inputSchema")
    result = (parts.get("output") or {}).get("successSchema")
    if not isinstance(given, Mapping) or not isinstance(result, Mapping):
        yield "contract has input.inputSchema and output.successSchema"
        return
    yield from _object("input", given, is_output=False)
    yield from _object("output", result, is_output=True)


def _object(
    where: str, schema: Mapping[str, Any], *, is_output: bool, is_row: bool = False
) -> Iterator[str]:
    properties = schema.get("properties", {})
    if schema.get("type") != "object" or not isinstance(properties, Mapping):
        yield f"{where} is an object with properties"
        return
    if _COMBINERS & set(schema):
        yield f"{where} uses {', '.join(sorted(_COMBINERS & set(schema)))}"
    for name in schema.get("required", []):
        if name not in properties:
            yield f"{where} requires {name}, which is no property"
    for name, part in properties.items():
        at = f"{where}.{name}"
        if not _NAME.fullmatch(name):
            yield f"{at}: a name is a letter, then letters, digits, - or _"
        if not is_output and name in _RESERVED:
            yield f"{at}: the name is reserved"
        if not isinstance(part, Mapping) or _COMBINERS & set(part):
            yield f"{at} is no plain schema"
        elif part.get("type") == "array" and is_output and not is_row:
            yield from _items(f"{at}[]", part.get("items"))
        elif part.get("type") not in _SIMPLE:
            yield f"{at}: {json.dumps(part.get('type'))} cannot be in a contract here"


def _items(where: str, items: Any) -> Iterator[str]:
    if isinstance(items, Mapping) and items.get("type") == "object":
        yield from _object(where, items, is_output=True, is_row=True)
    elif not isinstance(items, Mapping) or items.get("type") not in _SIMPLE:
        yield f"{where} is neither simple nor a flat object"


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
