"""The functions that a statement calls are found as Postgres reads it, however they are written."""

import pytest

from db.catalog.calls import called, tokens, undoing


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT set_config('a', 'b', true)",
        "SELECT Set_Config ('a', 'b', true)",
        "SELECT pg_catalog . set_config('a', 'b', true)",
        "SELECT \"set_config\"('a', 'b', true)",
        "SELECT U&\"set\\005fconfig\"('a', 'b', true)",
        "SELECT U&\"set\\+00005fconfig\"('a', 'b', true)",
        "SELECT set_config/* a comment */('a', 'b', true)",
        "SELECT set_config -- a comment\n('a', 'b', true)",
        # a quote that ends no string, and one that begins none
        "SELECT E'\\'' || set_config('a', 'b', true) || ''",
        "SELECT number AS \"it's\", set_config('a', 'b', true)",
        "SELECT 1 /* it's */, set_config('a', 'b', true)",
        "/* /* */ ' */ SELECT set_config('a', 'b', true) -- '",
        "SELECT $x$ it's $x$, set_config('a', 'b', true)",
    ],
)
def test_a_call_is_found_in_any_spelling(sql):
    (found,) = undoing(sql)
    assert found[1] == "set_config"
    assert sql[found[0]] in 'sSuU"'


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'set_config()'",
        "SELECT $$set_config()$$",
        "SELECT E'\\'set_config('",
        "SELECT 1 -- set_config(",
        "/* /* a comment */ set_config( */ SELECT 1",
        'SELECT number AS "set_config("',
        "SELECT my_set_config(1), set_config AS set_config",
        'SELECT U&"\\+ffffff"(1)',
    ],
)
def test_what_is_no_call_is_let_through(sql):
    assert list(undoing(sql)) == []


def test_sql_given_as_text_to_a_text_search_is_found():
    assert [name for _, name in undoing("SELECT ts_rewrite(a, 'SELECT b, c FROM d')")] == [
        "ts_rewrite"
    ]


def test_names_behind_a_dot_and_operators_are_distinguished():
    found = [(t.kind, t.text) for t in tokens("SELECT a.Full_Name, b <-> 'x', c(1)")]
    assert found == [
        ("name", "select"),
        ("name", "a"),
        ("attribute", "full_name"),
        ("name", "b"),
        ("operator", "<->"),
        ("call", "c"),
    ]


def test_a_statement_that_ends_within_a_word_is_read_to_its_end():
    assert list(called("SELECT 'open")) == []
    assert [t.text for t in tokens("SELECT a.b")] == ["select", "a", "b"]
