"""`toolworker tools` as an author of tools uses it; the shipped tools pass their examples."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from db import catalog
from ops.commands.examples import run_examples
from ops.diagnosis.tool_call import opened
from tests import forked_cli

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = catalog.load(ROOT / "tools")
EXAMPLES = [
    (name, n) for name, tool in SHIPPED.tools.items() for n in range(1, 1 + len(tool.examples))
]


@pytest.fixture(scope="module")
def results(reader_url):
    with opened({"default": reader_url}) as databases:
        return {
            (name, result.number): result
            for name, tool in SHIPPED.tools.items()
            for result in run_examples(SHIPPED, databases, tool)
        }


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
def test_an_example_of_a_shipped_tool_has_its_expected_output(results, name, number):
    assert results[name, number].difference == ""


@pytest.fixture
def in_a_shell(tmp_path, reader_url):
    """Run a command line as it stands in the documents; its exit code, output and complaints."""

    def run(line, **env):
        command = line.replace("toolworker", f"{sys.executable} -m ops.cli", 1)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **_env(reader_url), **env},
        )
        return done.returncode, done.stdout, done.stderr

    (tmp_path / "tools").mkdir(exist_ok=True)
    return run


@pytest.fixture
def typed(tmp_path, reader_url):
    """As `in_a_shell`, without a shell and a program of its own; for a `toolworker …` alone."""

    def run(line, **env):
        program, *arguments = shlex.split(line)
        assert program == "toolworker"
        done = forked_cli.toolworker(*arguments, env={**_env(reader_url), **env}, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    (tmp_path / "tools").mkdir(exist_ok=True)
    return run


def _env(reader_url):
    return {"DATABASE_URL": reader_url, "TOOLS_DIR": "tools", "LANG": "C.UTF-8"}


def test_a_new_tool_passes_every_check_and_answers(typed):
    code, out, _ = typed("toolworker tools new count_letters")
    assert (code, out.split()) == (
        0,
        [f"tools/count_letters/{name}" for name in ("tool.json", "query.sql", "examples.json")],
    )
    assert typed("toolworker tools check --database")[:2] == (0, "1 tool, no mistakes\n")
    code, out, _ = typed("toolworker tools test")
    assert code == 0
    assert out.splitlines()[-1] == "2 of 2 examples as expected"
    code, out, error = typed("""toolworker tools call count_letters '{"text": "abc"}'""")
    assert (code, out) == (0, '{"items":[{"text":"abc","letters":3}],"total":1}\n')
    assert re.fullmatch(r"\d+\.\d ms, 48 bytes\n", error)
    assert typed("toolworker tools new count_letters")[0] == 1
    assert typed("toolworker tools new 'no spaces'")[0] == 1


def test_a_call_with_bad_arguments_prints_the_models_error_output(typed):
    typed("toolworker tools new count_letters")
    code, out, _ = typed("toolworker tools call count_letters '{}'")
    told = json.loads(out)
    assert (code, told["code"]) == (1, "invalid_arguments")
    assert told["violations"] == [
        {
            "path": "/text",
            "message": "is required and missing: give a string of at most 200 characters",
        }
    ]
    code, out, _ = typed("toolworker tools call count_leters '{}'")
    assert (code, json.loads(out)["code"]) == (1, "unknown_tool")


def test_the_check_prints_a_line_for_each_mistake_and_exits_1(typed, tmp_path):
    typed("toolworker tools new one")
    (tmp_path / "tools/one/query.sql").write_text("SELECT 1 AS a\nWHERE %(txt)s")
    code, out, _ = typed("toolworker tools check")
    assert (code, out.splitlines()) == (
        1,
        [
            "one/query.sql:2: %(txt)s is no property of the schema; did you mean text?",
            "one/tool.json:7: text is a property but query.sql does not use it",
        ],
    )
    code, out, _ = typed("toolworker tools check -o json")
    assert (code, [(m["file"], m["line"]) for m in json.loads(out)]) == (
        1,
        [("one/query.sql", 2), ("one/tool.json", 7)],
    )


def test_the_live_check_names_what_the_database_does_not_know(typed, tmp_path):
    typed("toolworker tools new one")
    (tmp_path / "tools/one/query.sql").write_text("SELECT %(text)s::text\nFROM nowhere")
    code, out, _ = typed("toolworker tools check --database")
    assert (code, out) == (
        1,
        'one/query.sql:2: relation "nowhere" does not exist (SQLSTATE 42P01)\n',
    )


def test_an_example_that_comes_out_differently_is_shown_as_a_difference(typed, tmp_path):
    typed("toolworker tools new one")
    path = tmp_path / "tools/one/examples.json"
    path.write_text(path.read_text().replace('"letters": 5', '"letters": 6'))
    code, out, _ = typed("toolworker tools test one")
    assert code == 1
    assert '-      "letters": 6' in out
    assert '+      "letters": 5' in out
    assert "1 of 2 examples as expected" in out


def test_a_tool_of_a_database_without_a_url_is_named(typed, tmp_path):
    typed("toolworker tools new one")
    path = tmp_path / "tools/one/tool.json"
    path.write_text(path.read_text().replace("{", '{"database": "crm",', 1))
    told = "one/tool.json:1: database crm has no URL; set DATABASE_URL_CRM\n"
    assert typed("toolworker tools check --database")[:2] == (1, told)
    code, _, error = typed("toolworker tools test")
    assert (code, error) == (1, told)
    crm = {"DATABASE_URL_CRM": "postgresql://nobody@127.0.0.1:1/x"}
    code, _, error = typed("toolworker tools check --database", **crm)
    assert (code, error) == (
        1,
        "Error: database crm: nothing listens at that host and port; is Postgres started?\n",
    )


def test_the_export_is_what_an_assistant_takes_and_stays_byte_equal(typed):
    line = f"toolworker tools export --format openai --dir {ROOT / 'tools'}"
    code, out, _ = typed(line)
    assert code == 0
    assert typed(line)[1] == out
    listed = json.loads(out)
    assert [f["function"]["name"] for f in listed] == sorted(SHIPPED.tools)
    assert listed[0].keys() == {"type", "function"}
    assert listed[0]["function"].keys() == {"name", "description", "parameters"}


def test_the_walk_through_in_the_documents_works_word_by_word(typed, in_a_shell, tmp_path):
    text = (
        (ROOT / "docs/tools.md").read_text().partition("## From nothing")[2].partition("\n## ")[0]
    )
    blocks = re.findall(r"```(\w+)(?: (\S+))?\n(.*?)```", text, re.DOTALL)
    for kind, file, content in blocks:
        if kind != "console":
            (tmp_path / file).write_text(content)
            continue
        for typed_line, said in re.findall(r"\$ (.*)\n((?:(?!\$ ).*\n)*)", content):
            # a program of its own for what only a shell does, such as `> functions.json`
            run = typed if set(">|&;$").isdisjoint(typed_line) else in_a_shell
            _, out, error = run(typed_line)
            told = re.sub(r"\d+(\.\d+)? ms", "_ ms", out + error)
            assert told == re.sub(r"\d+(\.\d+)? ms", "_ ms", said), typed_line
    assert len(blocks) >= 5


def test_a_terminal_that_knows_latin_1_alone_is_printed_to(typed, in_a_shell, tmp_path):
    typed("toolworker tools new echo")
    path = tmp_path / "tools/echo/tool.json"
    path.write_text(path.read_text().replace("When to", "When ✓ to"))
    latin = {"PYTHONIOENCODING": "latin-1"}
    code, out, error = in_a_shell("""toolworker tools call echo '{"text": "✓ 😀"}'""", **latin)
    assert (code, json.loads(out)["items"][0]["text"]) == (0, "✓ 😀"), error
    code, out, error = in_a_shell("toolworker tools list", **latin)
    assert (code, error) == (0, "")
    assert "When \\u2713 to" in out


def test_a_name_that_would_be_no_tool_is_refused(typed, tmp_path):
    code, _, error = typed("toolworker tools new _x")
    assert (code, error) == (1, "Error: a name may not begin with _; such folders are no tools\n")
    assert not (tmp_path / "tools/_x").exists()


def test_warnings_are_printed_and_do_not_fail_the_check(typed, tmp_path):
    typed("toolworker tools new one")
    query = tmp_path / "tools/one/query.sql"
    query.write_text("SELECT %(text)s::text AS text\nORDER BY %(text)s\n")
    code, out, _ = typed("toolworker tools check")
    assert code == 0
    assert out.splitlines() == [
        "one/query.sql:2: warning: ORDER BY %(text)s orders by a value that is the same for each"
        " row; write ORDER BY CASE %(text)s WHEN … THEN a column END",
        "1 tool, no mistakes, 1 to look at",
    ]
