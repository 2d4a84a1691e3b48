"""Read the files of one tool folder, and locate mistakes in them."""

import difflib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.catalog.lines import line_of, positions
from db.errors import Mistake
from db.json_problems import position, problem_at_place

_NAMES = ("tool.json", "query.sql", "examples.json")


@dataclass(frozen=True)
class Definition:
    """The three files of a tool, read but not yet trusted; the texts are for finding lines."""

    folder: str
    tool: dict[str, Any]
    tool_text: str
    sql: str
    examples: list[Any]
    examples_text: str

    def contents(self) -> bytes:
        """Bytes of all files, for the catalogue's digest."""
        return "\0".join([self.folder, self.tool_text, self.sql, self.examples_text]).encode()

    def mistake(self, message: str, pointer: str = "") -> Mistake:
        """A mistake in tool.json, at the line of what *pointer* leads to."""
        at = _nearest(positions(self.tool_text)[0], pointer)
        return Mistake(f"{self.folder}/tool.json", line_of(self.tool_text, at), message)

    def sql_mistake(self, message: str, at: int = 0) -> Mistake:
        """A mistake in query.sql, at a character."""
        return Mistake(f"{self.folder}/query.sql", line_of(self.sql, at), message)

    def example_mistake(self, number: int, message: str) -> Mistake:
        """A mistake in examples.json, at the line where example *number* (from 0) begins."""
        at = positions(self.examples_text)[0].get(f"/{number}", 0)
        line = line_of(self.examples_text, at)
        return Mistake(f"{self.folder}/examples.json", line, f"example {number + 1}: {message}")


def read_definition(path: Path) -> tuple[Definition | None, list[Mistake]]:
    """The files of one tool folder, or why they cannot be read."""
    mistakes: list[Mistake] = []
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name in _NAMES:
        try:
            texts[name] = (path / name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            mistakes.append(Mistake(f"{path.name}/{name}", *_unreadable(path, name, exc)))
    for name, kind in (("tool.json", dict), ("examples.json", list)):
        if name in texts:
            values[name], problems = _read_json(texts[name], kind)
            mistakes += [Mistake(f"{path.name}/{name}", *problem) for problem in problems]
    if mistakes:
        return None, mistakes
    tool, sql, examples = texts.values()
    found = Definition(path.name, values["tool.json"], tool, sql, values["examples.json"], examples)
    return found, []


def _unreadable(path: Path, name: str, error: OSError | UnicodeDecodeError) -> tuple[int, str]:
    """Line and words of a file that cannot be read."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return line, "is not UTF-8 from here on; save the file as UTF-8"
    if not isinstance(error, FileNotFoundError):
        return 1, f"cannot be read: {error.strerror or type(error).__name__}"
    found = []
    with suppress(OSError):  # the folder was moved meanwhile, or may not be listed
        found = [p.name for p in path.iterdir() if p.is_file() and p.name not in _NAMES]
    lower = {other.lower(): other for other in sorted(found)}
    close = difflib.get_close_matches(name, lower, n=1)
    if not close and name != "examples.json":
        close = [other for other in lower if other.endswith(Path(name).suffix)]
    if len(close) == 1:
        return 1, f"is missing; rename {lower[close[0]]}"
    if name == "examples.json":
        return 1, "is missing; write [] to begin with, better an example (docs/tools.md)"
    return 1, "is missing"


def _read_json(text: str, kind: type) -> tuple[Any, list[tuple[int, str]]]:
    """The value in a file, and line and words of each problem."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        at, twice = positions(text)
    except json.JSONDecodeError as exc:
        place = position(text, exc)
        column = place - (text.rfind("\n", 0, place) + 1) + 1
        words = problem_at_place(text, exc) if text.strip() else "it is empty"
        return None, [(line_of(text, place), f"is not valid JSON: {words} (column {column})")]
    except (ValueError, RecursionError):
        return None, [(1, "is not usable JSON: NaN, Infinity, or nested too deeply")]
    problems = [
        (
            line_of(text, at[pointer]),
            f"{pointer.rpartition('/')[2]} is there twice; only the last counts",
        )
        for pointer in twice
    ]
    if not isinstance(value, kind):
        must = "an array" if kind is list else "an object; give each tool a folder of its own"
        problems.append((1, f"must hold {must}"))
    return value, problems


def _nearest(places: dict[str, int], pointer: str) -> int:
    """Where *pointer* leads, or the nearest thing around it that there is."""
    while pointer and pointer not in places:
        pointer = pointer.rpartition("/")[0]
    return places.get(pointer, 0)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
