"""Bound arguments: properties whose values come from a signed delivery, never from the model."""

import re
from collections.abc import Mapping
from typing import Any

from db.arguments import Repeated, is_storable
from db.catalog.schema.subschemas import resolved
from db.catalog.validate import compile_schema
from db.errors import ToolError
from runtime import logs

HEADER = "header:"
"""Prefix of a source that is a header set by the proxy; any other source is a JSON pointer."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,99})")

_log = logs.get("tools")


class BoundArguments:
    """
    The bound properties of one tool, their schemas compiled once.

    Args:
        parameters: The tool's schema, with the bound properties.

        bind: Property to source, both checked before.
    """

    def __init__(self, tool: str, parameters: Mapping[str, Any], bind: Mapping[str, str]) -> None:
        self._tool = tool
        self._bind = bind
        properties = parameters.get("properties", {})
        self._types = {name: resolved(properties[name], parameters)["type"] for name in bind}
        known = {key: parameters[key] for key in ("definitions", "properties") if key in parameters}
        self._is_valid = {
            name: compile_schema({**known, "type": "object", "required": [name]}) for name in bind
        }

    def values(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        The value of each bound property.

        Args:
            context: Source to its value, None for one that the delivery did not have.

        Raises:
            ToolError: `unavailable` when the receiver did not yet know of a source; `forbidden`
                when there is no value, or one that the property's schema refuses.
        """
        found = {}
        for name, source in self._bind.items():
            if source not in context:
                self._log("the receiver did not know of it", name)
                raise ToolError("unavailable", _NOT_YET, retryable=True)
            value = context[source]
            is_text = isinstance(value, str) and source.startswith(HEADER)
            found[name] = self._from_text(name, value) if is_text else value
        return self._checked(found)

    def values_of_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """
        The value of each bound property, from headers.

        Args:
            texts: Property to text; those without a header are left out.

        Raises:
            ToolError: `forbidden`, as above.
        """
        return self._checked(
            {n: self._from_text(n, texts[n]) if n in texts else None for n in self._bind}
        )

    def refusal(self, name: str, value: Any) -> str:
        """Why a value cannot be that of a bound property; empty when it can."""
        if value is None or value == "":
            return "missing"
        if isinstance(value, str) and not is_storable(value):
            return "cannot be stored"
        return "" if self._is_valid[name]({name: value}) else "does not fit its schema"

    def refuse_sent(self) -> ToolError:
        """The error of a call whose arguments name a bound property."""
        self._log("sent by the model", "")
        return ToolError("forbidden", _SENT)

    def _checked(self, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if reason := self.refusal(name, value):
                self._log(reason, name)
                raise ToolError("forbidden", _MISSING)
        return values

    def _from_text(self, name: str, text: str) -> Any:
        return from_text(text, self._types[name])

    def _log(self, reason: str, name: str) -> None:
        _log.warning("bind.refused", tool=self._tool, argument=name, reason=reason)


def from_text(text: str, kind: str) -> Any:
    """
    A header's text as a value of a property's type; None when it is none, or ambiguous.

    A server joins headers of one name with commas, so of a text with one it is unknown whose value
    it is.
    """
    if "," in text:
        return None
    if kind == "integer":
        return int(text) if _INTEGER.fullmatch(text) else None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text)
    return text


def at_pointer(document: Any, pointer: str) -> Any:
    """
    What a JSON pointer (RFC 6901) leads to; None where it leads to nothing.

    A name that an object has twice leads to nothing: which of the values the sender means is
    unknown, as JSON readers differ.
    """
    found = document
    for token in pointer.split("/")[1:]:
        name = unescape(token)
        if isinstance(found, Repeated) and name in found.names:
            return None
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def header_text(value: str) -> str | None:
    """
    A header's text as UTF-8; None when it is not.

    Args:
        value: As servers hand it on, one character a byte.
    """
    try:
        # not all that Python calls white space: a0 and 85 can be the last byte of a letter
        return value.strip(" \t").encode("latin-1").decode()
    except UnicodeError:
        return None


def action_header(name: str) -> str:
    """The header in which a data action sends a bound property: nginx drops names with `_`."""
    return f"X-Toolworker-Bind-{name.replace('_', '-')}"


def for_model(parameters: Mapping[str, Any], bind: Mapping[str, str]) -> Mapping[str, Any]:
    """The schema that the model is given: without the bound properties."""
    if not bind:
        return parameters
    changed = dict(parameters)
    properties = parameters.get("properties", {})
    changed["properties"] = {name: part for name, part in properties.items() if name not in bind}
    if "required" in parameters:
        changed["required"] = [name for name in parameters["required"] if name not in bind]
    return changed


def context_of(bind: Mapping[str, str], bound: Mapping[str, Any]) -> dict[str, Any]:
    """A context, by source, of values by property; None for a property that is left out."""
    return {source: bound.get(name) for name, source in bind.items()}


def document_of(bind: Mapping[str, str], bound: Mapping[str, Any]) -> dict[str, Any]:
    """A document in which each pointer leads to the value of its property; headers are left out."""
    document: dict[str, Any] = {}
    for name, source in bind.items():
        if name in bound and not source.startswith(HEADER):
            *above, last = [unescape(token) for token in source.split("/")[1:]]
            part = document
            for token in above:
                part = part.setdefault(token, {})
            part[last] = bound[name]
    return document


def unescape(token: str) -> str:
    """A part of a JSON pointer as the name that it stands for."""
    return token.replace("~1", "/").replace("~0", "~")


_SENT = (
    "An argument of this call is set by the service and may not be sent."
    " Call the tool with the arguments that it lists, and no others."
)
_MISSING = (
    "It is not known for whom this call is made, so nothing was queried."
    " Do not try the same call again."
)
_NOT_YET = "The data cannot be reached right now. Try the same call again later."
