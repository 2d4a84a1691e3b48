"""Read the files of one tool folder, and locate mistakes in them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.catalog.lines import line_of, positions
from db.errors import Mistake


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
    for name in ("tool.json", "query.sql", "examples.json"):
        try:
            texts[name] = (path / name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            reason = "is missing" if isinstance(exc, FileNotFoundError) else "cannot be read"
            mistakes.append(Mistake(f"{path.name}/{name}", 1, reason))
    for name, kind in (("tool.json", dict), ("examples.json", list)):
        if name in texts:
            values[name], problems = _read_json(texts[name], kind)
            mistakes += [Mistake(f"{path.name}/{name}", *problem) for problem in problems]
    if mistakes:
        return None, mistakes
    tool, sql, examples = texts.values()
    found = Definition(path.name, values["tool.json"], tool, sql, values["examples.json"], examples)
    return found, []


def _read_json(text: str, kind: type) -> tuple[Any, list[tuple[int, str]]]:
    """The value in a file, and line and words of each problem."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        at, twice = positions(text)
    except json.JSONDecodeError as exc:
        return None, [(exc.lineno, f"is not valid JSON: {exc.msg} (column {exc.colno})")]
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
        problems.append((1, f"must hold {'an object' if kind is dict else 'an array'}"))
    return value, problems


def _nearest(places: dict[str, int], pointer: str) -> int:
    """Where *pointer* leads, or the nearest thing around it that there is."""
    while pointer and pointer not in places:
        pointer = pointer.rpartition("/")[0]
    return places.get(pointer, 0)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
