"""Console tables fit the terminal, and control characters of a run id are not printed."""

import io

import pytest
from rich.console import Console

from ops.commands import tables

COLUMNS = ("key", "calls>", "run")
ROWS = [("a" * 32, "2/2", "run-" + "x" * 200), ("b" * 32, "1/2", "run-2")]


@pytest.fixture
def shown(monkeypatch):
    """Print into a terminal of some width, or into a pipe; gives what came out."""

    def show(width=None):
        out = io.StringIO()
        console = Console(
            file=out, force_terminal=width is not None, width=width or 200, color_system="standard"
        )
        if width is None:
            console = Console(file=out, width=200)
        monkeypatch.setattr(tables, "console", lambda: console)
        tables.show_table(COLUMNS, ROWS)
        return out.getvalue()

    return show


@pytest.mark.parametrize("width", [60, 80, 132])
def test_a_line_of_the_list_is_one_line_of_the_terminal(shown, width):
    lines = shown(width).splitlines()
    assert len(lines) == 3
    assert all("…" in line for line in lines[1:2])


def test_a_pipe_gets_no_colour(shown):
    assert "\x1b" not in shown()


def test_what_a_terminal_would_obey_is_replaced():
    assert tables.plain("run\x1b]0;title\x07\n1") == "run\ufffd]0;title\ufffd\ufffd1"
