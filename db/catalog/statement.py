"""Read the text of a statement: its placeholders, and whether it is one query."""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

_SKIPPED = re.compile(
    r"""
    --[^\n]*
    | [eE]'(?:[^'\\]|\\.|'')*'      # a string with escapes
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"                # a name
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    """,
    re.VERBOSE | re.DOTALL,
)
_PERCENT = re.compile(r"%(?:\((\w+)\)s|%|)")
_WORD = re.compile(r"[A-Za-z_][\w$]*")
_WRITES = frozenset(
    {"insert", "update", "delete", "merge", "truncate", "create", "alter", "drop", "grant"}
    | {"revoke", "copy", "call", "do", "lock", "vacuum", "set", "begin", "commit", "rollback"}
    | {"execute", "prepare", "listen", "notify", "refresh", "reindex", "analyze", "cluster"}
)
_READS = frozenset({"select", "with", "values", "table"})


WRITES = re.compile(
    r"(?<=\()\s*(?:insert\s+into|delete\s+from|merge\s+into|update\s+\S+\s+set)\b"
    r"|\bselect\s+[^()]*\binto\b|\bfor\s+(?:no\s+key\s+)?update\b|\bfor\s+(?:key\s+)?share\b",
    re.IGNORECASE,
)
"""What looks like writing or locking inside a query; only Postgres decides that for sure."""


class Placeholder(NamedTuple):
    """`%(name)s`, `%%` (name is None) or a lone % (name is ""), at a character."""

    name: str | None
    at: int
    end: int


def placeholders(sql: str) -> Iterator[Placeholder]:
    """Every percent sign, as psycopg reads it: also in strings and comments."""
    for found in _PERCENT.finditer(sql):
        name = found[1] if found[1] else (None if found[0] == "%%" else "")
        yield Placeholder(name, found.start(), found.end())


def bare(sql: str) -> str:
    """The statement with strings, names in quotes and comments blanked, characters in place."""
    blanked, at = [], 0
    while at < len(sql):
        found = _SKIPPED.match(sql, at)
        if found:
            end = found.end()
        elif sql.startswith("/*", at):
            end = end_of_comment(sql, at)
        else:
            blanked.append(sql[at])
            at += 1
            continue
        blanked.append(re.sub(r"[^\n]", " ", sql[at:end]))
        at = end
    return "".join(blanked)


def problems(sql: str) -> Iterator[tuple[int, str]]:
    """What no cursor takes, at a character: several statements, none, or one that is no query."""
    text = bare(sql)
    end = len(text.rstrip().rstrip(";").rstrip())
    second = text.find(";", 0, end)
    if second >= 0:
        yield second, "more than one statement; a tool is one SELECT"
        return
    word = _WORD.search(text)
    if not word:
        yield 0, "is empty"
        return
    first, at = word[0].lower(), word.start()
    if first in _WRITES:
        yield at, f"{first.upper()} writes; a tool only reads"
    elif first not in _READS:
        yield at, f"begins with {first.upper()}; a tool is one SELECT"


def foreign(sql: str, names: Collection[str]) -> Iterator[tuple[int, str]]:
    """
    Placeholders as other libraries write them, each at a character with what to write.

    Args:
        names: Of the properties; `:id` and `@id` mean other things in SQL unless they are one.
    """
    text = bare(sql)
    usual = next(iter(names)) if len(names) == 1 else "name"
    for found in _NUMBERED.finditer(text):
        yield found.start(), f"{found[0]} is no placeholder here; write %({usual})s"
    for found in _IN_BRACES.finditer(text):
        yield found.start(), f"{found[0]} is no placeholder; write %({found[1]})s"
    for found in _NAMED.finditer(text):
        if found[2] in names:
            yield found.start(1), f"{found[1]}{found[2]} is no placeholder; write %({found[2]})s"
    for found in _QUESTION.finditer(text):
        yield found.start(1), f"? is no placeholder; write %({usual})s"


def lone_percent(sql: str, at: int, names: Collection[str]) -> str:
    """What to write for a percent sign that begins no placeholder."""
    usual = next(iter(names)) if len(names) == 1 else "name"
    found = _NEARLY.match(sql, at)
    if found and found[1]:
        if not re.fullmatch(r"\w+", found[1]):
            return f"the name in %({found[1]})s may have letters, digits and _ alone"
        return f"%({found[1]}) is no placeholder; write %({found[1]})s"
    if found:
        return f"{found[0]} has no name; write %({usual})s, or %% for a percent sign"
    return "a lone %; write %% for a percent sign"


_NUMBERED = re.compile(r"\$\d+")
_IN_BRACES = re.compile(r"\$?\{\{?(\w*)\}\}?")
_NAMED = re.compile(r"(?<=[\s(,=<>+*/|-])([:@])(\w+)")
_QUESTION = re.compile(r"(?:[=<>(,]|\blike|\blimit|\boffset)\s*(\?)(?=\s|\)|,|$)", re.IGNORECASE)
_NEARLY = re.compile(r"%\(([^)\s]*)\)|%[sdif](?!\w)")


def end_of_comment(sql: str, at: int) -> int:
    """The character behind a comment that begins with `/*`; one may stand in another."""
    depth = 0
    for found in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return len(sql)
