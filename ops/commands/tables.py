"""Console output: tables as wide as the terminal, JSON, and colour on a terminal only."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

_STYLES = {
    "DONE": "green",
    "submitted": "green",
    "DEAD": "red",
    "dead": "red",
    "RUNNING": "cyan",
    "QUEUED": "cyan",
}
_PIPE_WIDTH = 200


def console() -> Any:
    """For a terminal its width; a pipe or a file has none, and gets lines that are not folded."""
    from rich.console import Console

    found = Console(highlight=False)
    if not found.is_terminal:
        found.width = _PIPE_WIDTH
    return found


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print *rows* under *columns*; what does not fit is cut with an ellipsis, the last column first.

    A column named like "calls>" is aligned to the right.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        is_last = number == len(columns) - 1
        table.add_column(
            name.removesuffix(">"),
            justify="right" if name.endswith(">") else "left",
            no_wrap=not is_last,
            overflow="ellipsis",
            ratio=1 if is_last else None,
        )
    for row in rows:
        table.add_row(*(Text(plain(cell), style=_STYLES.get(cell, "")) for cell in row))
    console().print(table)


def show_line(word: str, text: str) -> None:
    """Print one sentence behind a word that stands out."""
    from rich.text import Text

    line = Text.assemble((plain(word), f"bold {_STYLES.get(word, 'yellow')}"), "  ", plain(text))
    console().print(line, soft_wrap=True)


def show_json(value: Any, text: str | None = None) -> None:
    """Print JSON; on a terminal that lacks a character of it, with escapes that JSON reads."""
    text = json.dumps(value, indent=2, ensure_ascii=False) if text is None else text
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    click.echo(text)


def plain(text: str) -> str:
    """The text without what a terminal would obey: a run id is a stranger's."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
