"""Find the functions that a statement calls, and those that could bypass its bound values."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from db.catalog.statement import end_of_comment

UNDOING = re.compile(
    r"set_config"
    # other sessions, in which nothing is bound
    r"|dblink(?:_\w+)?"
    # SQL that is given as text, which may be anything
    r"|(?:query|table|schema|database|cursor)_to_xml\w*|ts_stat|ts_rewrite|crosstab\w*|connectby|xpath_table"
    # what lies beside the tables
    r"|lo_\w+|loread|lowrite|pg_read_(?:binary_)?file|pg_ls_\w+|pg_stat_file"
    r"|pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_logical_\w+|pg_copy_\w+"
)
"""Names of functions with which a statement could reach beyond the rows of the bound values."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<escaped>[uU]&)?"(?P<quoted>(?:[^"]|"")+)"
    | (?P<name>[^\W\d][\w$]*)
    | (?P<operator>(?:(?!--|/\*)[-+*/<>=~!@\#%^&|`?])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:\+((?:0[0-9a-f]|10)[0-9a-f]{4})|([0-9a-f]{4}))", re.IGNORECASE)


class Token(NamedTuple):
    """
    A name or an operator of a statement, at a character.

    `kind` is "call" for a name before an opening bracket, "attribute" for one behind a dot, which
    calls a function of that name where there is no such column, "name" and "operator" else.
    """

    kind: str
    text: str
    at: int


def tokens(sql: str) -> Iterator[Token]:
    """
    Names and operators outside of strings and comments, in order.

    Names without quotes come in lower case, as Postgres has them.
    """
    at, before, waiting = 0, "", None
    while at < len(sql):
        if sql.startswith("/*", at):
            at = end_of_comment(sql, at)
            continue
        found = _TOKEN.match(sql, at)
        if found and found["space"]:
            at = found.end()
            continue
        if waiting:
            yield waiting._replace(kind="call") if sql[at] == "(" else waiting
        waiting = None
        if found and (found["name"] or found["quoted"]):
            waiting = Token("attribute" if before == "." else "name", _name(found), at)
        elif found and found["operator"]:
            yield Token("operator", found["operator"], at)
        at = found.end() if found else at + 1
        before = sql[at - 1]
    if waiting:
        yield waiting


def called(sql: str) -> Iterator[tuple[int, str]]:
    """
    What stands before an opening bracket in a statement, each at its character.

    Keywords such as `in` and tables with a list of columns are among them; names without quotes
    come in lower case, as Postgres has them.
    """
    for token in tokens(sql):
        if token.kind == "call":
            yield token.at, token.text


def _name(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"].lower()
    quoted = found["quoted"].replace('""', '"')
    if found["escaped"]:
        quoted = _ESCAPE.sub(lambda code: chr(int(code[1] or code[2], 16)), quoted)
    return quoted


def undoing(sql: str) -> Iterator[tuple[int, str]]:
    """The calls with which a statement could reach beyond the rows of the bound values."""
    for at, name in called(sql):
        if UNDOING.fullmatch(name):
            yield at, name
