"""Functions that a statement calls, and those that would undo what is bound."""

import re
from collections.abc import Iterator

UNDOING = re.compile(
    r"set_config"
    # other sessions, in which nothing is bound
    r"|dblink(?:_\w+)?"
    # SQL that is given as text, which may be anything
    r"|(?:query|table|schema|database|cursor)_to_xml\w*|ts_stat|crosstab\w*|connectby|xpath_table"
    # what lies beside the tables
    r"|lo_\w+|loread|lowrite|pg_read_(?:binary_)?file|pg_ls_\w+|pg_stat_file"
    r"|pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_logical_\w+|pg_copy_\w+"
)
"""Names of functions with which a statement could reach beyond the rows of the bound values."""

_TOKEN = re.compile(
    r"""
    --[^\n]*
    | /\*.*?\*/
    | [eE]?'(?:[^']|'')*'
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | (?:"(?P<quoted>(?:[^"]|"")+)"|(?P<name>[A-Za-z_]\w*))\s*\(
    """,
    re.VERBOSE | re.DOTALL,
)


def called(sql: str) -> Iterator[tuple[int, str]]:
    """
    What stands before an opening bracket in a statement, each at its character.

    Keywords such as `in` and tables with a list of columns are among them; names without quotes
    come in lower case, as Postgres has them.
    """
    for found in _TOKEN.finditer(sql):
        if found["quoted"]:
            yield found.start(), found["quoted"].replace('""', '"')
        elif found["name"]:
            yield found.start(), found["name"].lower()


def undoing(sql: str) -> Iterator[tuple[int, str]]:
    """The calls with which a statement could reach beyond the rows of the bound values."""
    for at, name in called(sql):
        if UNDOING.fullmatch(name):
            yield at, name
