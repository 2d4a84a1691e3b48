"""What reading a statement tells: its placeholders, whether it is one, whether it writes."""

import itertools
import re
from collections.abc import Iterator
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
_ASKS = frozenset({"select", "with", "values", "table"})


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
            end = _end_of_comment(sql, at)
        else:
            blanked.append(sql[at])
            at += 1
            continue
        blanked.append(re.sub(r"[^\n]", " ", sql[at:end]))
        at = end
    return "".join(blanked)


def problems(sql: str) -> Iterator[tuple[int, str]]:
    """What is wrong with a statement whoever asks it, each at a character."""
    text = bare(sql)
    end = len(text.rstrip().rstrip(";").rstrip())
    second = text.find(";", 0, end)
    if second >= 0:
        yield second, "more than one statement; a tool is one SELECT"
        return
    words = [(found[0].lower(), found.start()) for found in _WORD.finditer(text)]
    if not words:
        yield 0, "is empty"
        return
    first, at = words[0]
    if first in _WRITES:
        yield at, f"{first.upper()} writes; a tool only reads"
    elif first not in _ASKS:
        yield at, f"begins with {first.upper()}; a tool is one SELECT"
    else:
        yield from _hidden_writes(words)


def _hidden_writes(words: list[tuple[str, int]]) -> Iterator[tuple[int, str]]:
    """Writing and locking inside a SELECT or WITH, by word pairs that mean nothing else there."""
    for (word, at), (after, _) in itertools.pairwise(words):
        if (word, after) in (("insert", "into"), ("delete", "from"), ("merge", "into")):
            yield at, f"{word.upper()} writes; a tool only reads"
        elif (word, after) in (("for", "update"), ("for", "share"), ("for", "key"), ("for", "no")):
            yield at, "FOR UPDATE or SHARE locks rows, which a read-only session may not"
    names = [word for word, _ in words]
    for number, (word, at) in enumerate(words[:-2]):
        if (
            word == "update"
            and "set" in names[number + 2 : number + 6]
            and names[number - 1] != "for"
        ):
            yield at, "UPDATE writes; a tool only reads"
    if names[0] == "select" and "into" in names:
        into = names.index("into")
        if "from" not in names[:into] and not {"insert", "merge"} & set(names[:into]):
            yield words[into][1], "SELECT INTO makes a table; a tool only reads"


def _end_of_comment(sql: str, at: int) -> int:
    depth = 0
    for found in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return len(sql)
