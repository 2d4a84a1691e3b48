"""Context of a delivery: the values of its body and headers that its tools bind, and no others."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from db.catalog import Catalog
from db.catalog.bind import HEADER, at_pointer, header_text
from db.errors import Mistake
from ledger.values import ToolCall
from runtime import logs
from webhook.signature import SIGNED_SCHEMES

MAX_VALUE = 1_024
"""Characters of one value; an account number has some twenty. A longer value counts as missing."""

_log = logs.get("webhook")


class Context:
    """
    Reads from deliveries the values that tools bind.

    Args:
        is_unsigned_bound: Whether deliveries whose body is not signed have a context, too.
    """

    def __init__(self, tools: Catalog, *, is_unsigned_bound: bool) -> None:
        self._sources = {
            name: tuple(tool.bind.values()) for name, tool in tools.tools.items() if tool.bind
        }
        self._is_unsigned_bound = is_unsigned_bound

    def values(
        self,
        calls: Sequence[ToolCall],
        delivery: Any,
        headers: Mapping[str, str],
        *,
        is_signed: bool,
    ) -> dict[str, Any]:
        """
        Value by source, for each source that a called tool binds; None if missing or unsigned.

        Args:
            delivery: The JSON value that the calls are of.

            headers: As they came, names in any case.

            is_signed: Whether the body is signed; if not, none of its values is used.
        """
        called = {call["function"]["name"] for call in calls}
        sources = {s for name in called for s in self._sources.get(name, ())}
        if not sources:
            return {}
        if not (is_signed or self._is_unsigned_bound):
            _log.warning("context.unsigned", sources=len(sources))
            return dict.fromkeys(sorted(sources))
        by_name = {name.lower(): value for name, value in headers.items()}
        return {source: _value(source, delivery, by_name) for source in sorted(sources)}


def unlisted_headers(tools: Catalog, allowed: Collection[str]) -> tuple[Mistake, ...]:
    """A mistake for each header that a tool binds and no setting allows (in lower case)."""
    return tuple(
        Mistake(
            f"{tool.name}/tool.json",
            1,
            f"{name} is bound to {source}, which WEBHOOK_BIND_HEADERS does not list; list it if"
            " your proxy sets that header and drops it from outside",
        )
        for tool in tools.tools.values()
        for name, source in tool.bind.items()
        if source.startswith(HEADER) and source.removeprefix(HEADER).lower() not in allowed
    )


def unsigned_risk(tools: Catalog, schemes: Sequence[str], *, is_unsigned_bound: bool) -> str:
    """Risk of unsigned deliveries for tools that bind; "" when every delivery must be signed."""
    unsigned = [scheme for scheme in schemes if scheme not in SIGNED_SCHEMES]
    binding = [tool.name for tool in tools.tools.values() if tool.bind]
    if not unsigned or not binding:
        return ""
    if is_unsigned_bound:
        return (
            f"WEBHOOK_BIND_UNSIGNED=true: a sender of {', '.join(unsigned)} chooses for whom"
            f" {', '.join(binding)} query"
        )
    return (
        f"calls of {', '.join(binding)} in deliveries proven by {', '.join(unsigned)} alone are"
        " forbidden: their body is not signed"
    )


def _value(source: str, delivery: Any, headers: Mapping[str, str]) -> Any:
    if source.startswith(HEADER):
        value: Any = header_text(headers.get(source.removeprefix(HEADER).lower(), ""))
    else:
        value = at_pointer(delivery, source)
    # a float may have lost digits, and would then name another customer
    if not isinstance(value, str | int) or len(str(value)) > MAX_VALUE:
        return None
    return value
