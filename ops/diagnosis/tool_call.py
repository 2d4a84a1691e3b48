"""Call one tool as a worker does, but outside of a run: for the command line and the pages."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from db.catalog import Catalog
from db.catalog.bind import context_of
from db.catalog.loader import NO_CONTEXT
from db.errors import ToolError, Unavailable
from db.outputs import error_output
from db.pool import Databases
from tasks.query import UNAVAILABLE, answer

_LEFT_MS = 28_000
"""Milliseconds for queries of a run that begins when it is accepted."""


@contextmanager
def opened(urls: Mapping[str, str]) -> Iterator[Databases]:
    """The databases, closed at the end."""
    databases = Databases(urls, max_size=1)
    databases.open()
    try:
        yield databases
    finally:
        databases.close()


def call_tool(
    catalog: Catalog,
    databases: Databases,
    name: str,
    arguments: str,
    bound: Mapping[str, Any] = NO_CONTEXT,
) -> str:
    """
    The tool output of one call, good or error.

    Args:
        bound: What the tool binds, value by property.
    """
    known = catalog.tools.get(name)
    context = context_of(known.bind, bound) if known else {}
    try:
        tool, values = catalog.validate(name, arguments, context)
        return answer(databases, tool, values, _LEFT_MS)
    except ToolError as error:
        return error_output(error)
    except Unavailable:
        return error_output(UNAVAILABLE)


def read_bound(text: str) -> dict[str, Any]:
    """
    Bound values in a JSON object.

    Raises:
        ValueError: It is none.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  (as for what is no JSON)
    return found
