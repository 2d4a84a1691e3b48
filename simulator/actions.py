"""Run a data action as Genesys does: check, render, call over TLS, check again, map errors."""

import base64
import http.client
import json
import ssl
import time
import urllib.parse
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastjsonschema

from simulator import contracts
from simulator.templates import TemplateError, render
from simulator.validation import BadOrder

DEFAULT_TIMEOUT_S = 60
"""Timeout of an action that names none."""


@dataclass(frozen=True)
class Order:
    """Which action to run with which inputs; `credentials` are the fields of its integration."""

    action: Mapping[str, Any]
    inputs: Mapping[str, Any]
    credentials: Mapping[str, str]


class _Failed(Exception):
    """An action that does not end on its Success path."""

    def __init__(self, status: int, error_code: str, message: str, path: str = "Failure") -> None:
        super().__init__(message)
        self.status, self.error_code, self.path = status, error_code, path


def read(order: Any) -> Order:
    """
    The order in the body of `POST /_sim/actions`.

    Raises:
        BadOrder: A field is missing or of another type, or Genesys would not take the action.
    """
    if not isinstance(order, dict):
        raise BadOrder("the order is an object")
    parts = [order.get(name, {}) for name in ("action", "inputs", "credentials")]
    if not all(isinstance(part, dict) for part in parts):
        raise BadOrder("action, inputs and credentials are objects")
    refused = contracts.problems(parts[0])
    if refused:
        raise BadOrder(f"the action would be refused: {'; '.join(refused)}")
    return Order(*parts)


def run(order: Order, *, ca_file: Path | None = None) -> dict[str, Any]:
    """
    One execution of an action.

    Args:
        ca_file: Whose certificates to trust besides; None means the machine's alone.

    Returns:
        `path` (Success, Failure or Timeout), `status`, `took_ms`; on success `output` and
        `flattened`, as Architect sees it; else `error`, the envelope of Genesys' API.
    """
    began = time.monotonic()
    try:
        output = _execute(order, ca_file)
        ended = {"path": "Success", "status": 200, "output": output, "flattened": flatten(output)}
    except _Failed as failed:
        ended = {"path": failed.path, "status": failed.status, "error": _envelope(failed)}
    return {**ended, "took_ms": round((time.monotonic() - began) * 1000)}


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """An output as Architect binds it: an array of objects becomes one array a property."""
    found: dict[str, Any] = {}
    if isinstance(value, dict):
        for key, part in value.items():
            found.update(flatten(part, f"{name}.{key}" if name else key))
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for part in value:
            for key, inner in flatten(part, name).items():
                found.setdefault(key, []).append(inner)
    else:
        found[name] = value
    return found


def _execute(order: Order, ca_file: Path | None) -> Any:
    config, contract = order.action["config"], order.action["contract"]
    _check(contract["input"]["inputSchema"], dict(order.inputs), "the inputs")
    values = {f"input.{name}": value for name, value in order.inputs.items()}
    values["input.rawRequest"] = json.dumps(order.inputs, ensure_ascii=False)
    values |= {f"credentials.{name}": text for name, text in order.credentials.items()}
    request = config["request"]
    url = _render(request["requestUrlTemplate"], values)
    headers = {name: _render(text, values) for name, text in request.get("headers", {}).items()}
    if {"userName", "password"} <= set(order.credentials):  # of the type basicAuth
        pair = f"{order.credentials['userName']}:{order.credentials['password']}"
        headers.setdefault("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    body = _render(request["requestTemplate"], values).encode()
    timeout_s = config.get("timeoutSeconds", DEFAULT_TIMEOUT_S)
    status, raw = _send(request["requestType"], url, headers, body, timeout_s, ca_file)
    if not 200 <= status <= 299:
        raise _Failed(status, "ACTION.REMOTE_ENDPOINT", f"The remote endpoint answered {status}.")
    try:
        json.loads(raw)
        text = _render(config["response"]["successTemplate"], {"rawResult": raw.decode()})
    except ValueError as exc:
        raise _Failed(400, "ACTION.REMOTE_ENDPOINT", "The answer is not JSON.") from exc
    try:
        output = json.loads(text)
    except ValueError as exc:
        raise _Failed(500, "ACTION.PROCESSING", "successTemplate makes no JSON.") from exc
    _check(contract["output"]["successSchema"], output, "the output")
    return output


def _send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
    ca_file: Path | None,
) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(url)
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=timeout_s, context=context
    )
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    except TimeoutError as exc:
        raise _Failed(504, "ACTION.REMOTE_ENDPOINT", "The request timed out.", "Timeout") from exc
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise _Failed(500, "ACTION.REMOTE_ENDPOINT", f"{type(exc).__name__}.") from exc
    finally:
        connection.close()


def _render(template: str, values: Mapping[str, Any]) -> str:
    try:
        return render(template, values)
    except TemplateError as exc:
        raise _Failed(400, "ACTION.PROCESSING", str(exc)) from exc


def _check(schema: Mapping[str, Any], value: Any, what: str) -> None:
    try:
        fastjsonschema.compile(dict(schema))(value)
    except fastjsonschema.JsonSchemaValueException as exc:
        rule = f"{exc.name}: {exc.rule}"  # its message may quote the value
        raise _Failed(400, "ACTION.PROCESSING", f"{what} break the contract at {rule}.") from exc


def _envelope(failed: _Failed) -> dict[str, Any]:
    codes = {400: "bad.request", 401: "authentication.required", 429: "too.many.requests"}
    return {
        "message": str(failed),
        "code": codes.get(failed.status, "internal.server.error"),
        "status": failed.status,
        "messageParams": {},
        "contextId": str(uuid.uuid4()),
        "details": [{"errorCode": failed.error_code}],
        "errors": [],
    }
