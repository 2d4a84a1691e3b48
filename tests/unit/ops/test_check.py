"""Report of `tools check`: text and JSON, and an exit code that counts mistakes alone."""

import json

import pytest

from tests import forked_cli

_DOUBTFUL = "SELECT name FROM artist WHERE name = %(name)s"
_SOUND = "SELECT name FROM artist WHERE %(name)s::text IS NULL OR name = %(name)s"
_WARNING = (
    "name may be left out and is NULL then, which equals nothing; write (%(name)s::text IS NULL OR"
    " …), or make it required"
)


@pytest.fixture
def check(tmp_path):
    """Check one tool, `artist`, whose query is *sql*."""

    def check(sql, *options, **env):
        path = tmp_path / "artist"
        path.mkdir()
        parameters = {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "additionalProperties": False,
        }
        tool = {"name": "artist", "description": "Artists by name.", "parameters": parameters}
        (path / "tool.json").write_text(json.dumps(tool))
        (path / "query.sql").write_text(sql)
        (path / "examples.json").write_text("[]")
        options = ("tools", "check", "--dir", str(tmp_path), *options)
        return forked_cli.toolworker(*options, env=env)

    return check


def test_tools_without_a_mistake_are_counted(check):
    done = check(_SOUND)

    assert (done.returncode, done.stdout) == (0, "1 tool, no mistakes\n")


def test_a_warning_is_a_line_with_its_place_and_no_failure(check):
    done = check(_DOUBTFUL)

    assert done.returncode == 0
    assert done.stdout == (
        f"artist/query.sql:1: warning: {_WARNING}\n1 tool, no mistakes, 1 to look at\n"
    )


def test_findings_in_json_have_their_place_apart(check):
    done = check(_DOUBTFUL, "-o", "json")

    assert done.returncode == 0
    assert json.loads(done.stdout) == [
        {"file": "artist/query.sql", "line": 1, "message": _WARNING, "is_warning": True}
    ]


def test_a_mistake_fails_the_check(check):
    done = check("SELECT name FROM artist WHERE name = %(nam)s")

    assert done.returncode == 1
    assert done.stdout.startswith("artist/query.sql:1: ")
    assert "no mistakes" not in done.stdout


def test_a_database_that_cannot_be_reached_is_one_sentence(check, free_port):
    url = f"postgresql://u:planted@127.0.0.1:{free_port()}/d"
    done = check(_SOUND, "--database", DATABASE_URL=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: database default: ")
    assert "planted" not in done.stderr
