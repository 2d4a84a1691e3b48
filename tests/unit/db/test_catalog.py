"""A tool folder with a mistake is refused with file and line, and all mistakes at once."""

import json
import os
import shutil
from pathlib import Path

import pytest

from db import catalog
from db.catalog.definition import read_definition
from db.errors import CatalogError, ToolError

SHIPPED = Path(__file__).resolve().parents[3] / "tools"


@pytest.fixture
def folder(tmp_path):
    """A copy of one shipped tool, to spoil."""
    shutil.copytree(SHIPPED / "search_inventory", tmp_path / "search_inventory")
    return tmp_path


def _mistakes(folder):
    with pytest.raises(CatalogError) as refused:
        catalog.load(folder)
    return [(m.file, m.line, m.message) for m in refused.value.mistakes]


def _change(folder, **keys):
    path = folder / "search_inventory/tool.json"
    tool = {**json.loads(path.read_text()), **keys}
    kept = {k: v for k, v in tool.items() if v is not ...}
    path.write_text(json.dumps(kept, indent=2))


def test_the_shipped_tools_have_no_mistakes():
    loaded = catalog.load(SHIPPED)
    assert sorted(loaded.tools) == ["get_order", "list_recent_tickets", "search_inventory"]
    assert loaded.tools["search_inventory"].timeout_ms == 5000
    assert loaded.tools["search_inventory"].max_rows == 100


def test_the_digest_changes_with_any_file(folder):
    before = catalog.load(folder).digest
    assert catalog.load(folder).digest == before
    sql = folder / "search_inventory/query.sql"
    sql.write_text(sql.read_text() + " ")
    assert catalog.load(folder).digest != before


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"timeout": 5}, "timeout is not a key of a tool; did you mean timeout_ms?"),
        ({"name": "other"}, "name is other, but the folder is search_inventory"),
        ({"description": ...}, "description is missing"),
        ({"description": " "}, "description is empty"),
        ({"timeout_ms": "5"}, "timeout_ms must be a whole number"),
        ({"max_rows": True}, "max_rows must be a whole number"),
        ({"timeout_ms": 0}, "timeout_ms must be from 1 to 60000"),
        ({"max_bytes": 10**9}, "max_bytes must be from 1 to 400000"),
        ({"no_rows_message": "none for {skuu}"}, "no_rows_message has {skuu}"),
        ({"no_rows_message": "none for {sku!r}"}, "no_rows_message has {sku}"),
        ({"no_rows_message": "none {"}, "no_rows_message cannot be filled in"),
        ({"parameters": {"type": "array"}}, 'parameters must have "type": "object"'),
    ],
)
def test_a_wrong_key_is_named(folder, keys, part):
    _change(folder, **keys)
    found = _mistakes(folder)
    assert any(part in message for _, _, message in found), found


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"additionalProperties": True}, '"additionalProperties": false'),
        ({"$ref": "http://127.0.0.1:1/x.json"}, "leaves the file"),
        ({"properties": {"sku": {"$ref": "file:///etc/passwd"}}}, "leaves the file"),
        ({"properties": {"sku": {"format": "dat"}}}, "format dat would not be checked"),
        ({"properties": {"sku": {"pattern": "["}}}, "cannot be read"),
        ({"properties": {"sku": {}}}, "%(warehouse)s is no property"),
        ({"properties": {"sku": {}, "warehouse": {}, "size": {}}}, "query.sql does not use it"),
    ],
)
def test_a_schema_that_could_mislead_is_refused(folder, schema, part):
    base = {"type": "object", "properties": {"sku": {}, "warehouse": {}}}
    _change(folder, parameters={**base, "additionalProperties": False, **schema})
    found = _mistakes(folder)
    assert any(part in message for _, _, message in found), found


def test_mistakes_have_file_and_line_and_come_all_at_once(folder):
    (folder / "search_inventory/query.sql").write_text("SELECT 1\nWHERE a = %(skuu)s\nAND b % 2")
    shutil.copytree(SHIPPED / "get_order", folder / "get_order")
    (folder / "get_order/tool.json").write_text('{\n "name": "get_order",\n oops\n}')
    shutil.copytree(SHIPPED / "get_order", folder / "third")
    (folder / "third/query.sql").unlink()
    found = [(file, line) for file, line, _ in _mistakes(folder)]
    assert ("search_inventory/query.sql", 2) in found
    assert ("search_inventory/query.sql", 3) in found
    assert ("get_order/tool.json", 3) in found
    assert ("third/query.sql", 1) in found


def test_an_example_that_does_not_fit_is_a_mistake(folder):
    examples = [{"arguments": {"sku": "x", "warehouse": "US-WEST"}, "output": {}}]
    (folder / "search_inventory/examples.json").write_text(json.dumps(examples))
    ((file, _, message),) = _mistakes(folder)
    assert file == "search_inventory/examples.json"
    assert "/sku must match the pattern" in message


def test_an_unknown_tool_names_the_closest():
    with pytest.raises(ToolError, match="Did you mean search_inventory") as refused:
        catalog.load(SHIPPED).validate("search_inventry", "{}")
    assert refused.value.code == "unknown_tool"


def test_a_folder_that_is_none_is_a_mistake(tmp_path):
    assert "is no folder" in _mistakes(tmp_path / "nowhere")[0][2]
    assert "holds no tool folder; begin one with: toolworker" in _mistakes(tmp_path)[0][2]


def test_a_tool_in_place_of_the_folder_of_tools_is_named_as_such(folder):
    ((_, _, message),) = _mistakes(folder / "search_inventory")
    assert message == "holds no tool folder; it is one itself: give the folder above it"


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("tool.json", "Tool.json", "is missing; rename Tool.json"),
        ("tool.json", "tools.json", "is missing; rename tools.json"),
        ("query.sql", "query.sql.txt", "is missing; rename query.sql.txt"),
        ("query.sql", "query.txt", "is missing; rename query.txt"),
        ("query.sql", "other.md", "is missing"),
        ("tool.json", "schema.json", "is missing; rename schema.json"),
        ("examples.json", "example.json", "is missing; rename example.json"),
        ("examples.json", "other.md", "is missing; write [] to begin with"),
    ],
)
def test_a_file_of_another_name_is_the_one_to_rename(folder, name, found, words):
    path = folder / "search_inventory"
    (path / name).rename(path / found)
    ((file, line, message),) = _mistakes(folder)
    assert (file, line) == (f"search_inventory/{name}", 1)
    assert message.startswith(words)
    assert message == words or words.endswith("with")


def test_a_file_without_examples_may_hold_an_empty_list(folder):
    (folder / "search_inventory/examples.json").write_text("[]")
    assert catalog.load(folder).tools["search_inventory"].examples == ()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_in_another_encoding_is_a_mistake_at_its_first_such_line(folder, encoding):
    (folder / "search_inventory/query.sql").write_text("-- a\n-- ä\n", encoding=encoding)
    line = {"latin-1": 2, "utf-16": 1}[encoding]
    words = "is not UTF-8 from here on; save the file as UTF-8"
    assert _mistakes(folder) == [("search_inventory/query.sql", line, words)]


def test_a_tool_folder_that_vanishes_while_it_is_read_is_a_mistake(tmp_path):
    found, mistakes = read_definition(tmp_path / "moved")
    assert found is None
    assert [(m.file, m.message) for m in mistakes][:2] == [
        ("moved/tool.json", "is missing"),
        ("moved/query.sql", "is missing"),
    ]


def test_a_folder_of_tools_that_may_not_be_read_is_a_mistake(folder):
    folder.chmod(0)
    user = os.geteuid()
    if not user:
        os.seteuid(65_534)  # no right is refused to root
    try:
        ((file, _, message),) = _mistakes(folder)
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
    assert (file, message) == (str(folder), "cannot be read: Permission denied")


def test_a_folder_in_place_of_a_file_is_a_mistake(folder):
    (folder / "search_inventory/query.sql").unlink()
    (folder / "search_inventory/query.sql").mkdir()
    assert _mistakes(folder)[0][2] == "cannot be read: Is a directory"
