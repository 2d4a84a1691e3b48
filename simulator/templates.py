"""Render the part of Genesys' Velocity templates that web-services data actions use."""

import json
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

_ESCAPED = r'\$esc\.(?P<escape>jsonString|url)\("(?P<argument>(?:[^"\\]|\\.)*)"\)'
_REFERENCE = r"\$(?P<quiet>!?)\{(?P<name>[A-Za-z][\w.-]*)\}"
_PIECE = re.compile(f"{_ESCAPED}|{_REFERENCE}")
_CONDITION = re.compile(r'#if\("(?P<tested>[^"]*)" != ""\)(?P<then>.*?)#end', re.DOTALL)
_CALL_IN_BRACES = re.compile(r"\$!?\{[^}]*\(")


class TemplateError(Exception):
    """A template that Velocity cannot read."""


def render(template: str, values: Mapping[str, Any]) -> str:
    """
    A template with its references replaced.

    `${name}` that has no value stays as it is, `$!{name}` becomes nothing; `$esc.jsonString("…")`
    and `$esc.url("…")` escape what is rendered inside. `#if("…" != "")…#end` is the one condition.

    Args:
        values: By full name, such as `input.sku`; what is no text is written as JSON.

    Raises:
        TemplateError: A call in braces, such as `${esc.url(input.sku)}`.
    """
    found = _CALL_IN_BRACES.search(template)
    if found:
        raise TemplateError(f"Encountered ')}}' at character {found.start()}")

    def replaced(piece: re.Match[str]) -> str:
        if piece["escape"]:
            inner = render(piece["argument"], values)
            if piece["escape"] == "url":
                return urllib.parse.quote(inner, safe="")
            return json.dumps(inner, ensure_ascii=False)[1:-1]
        value = values.get(piece["name"])
        if value is None:
            return "" if piece["quiet"] else piece[0]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def chosen(found: re.Match[str]) -> str:
        return found["then"] if render(found["tested"], values) else ""

    return _PIECE.sub(replaced, _CONDITION.sub(chosen, template))
