"""Mistakes that Genesys would refuse or drop, one a tool: each is found at its file and line."""

import json
import shutil
from pathlib import Path

import pytest

from db import catalog
from db.errors import CatalogError
from ops.commands.export import TARGETS, checked_for
from ops.exports.action import import_file
from ops.exports.ava import definition, shared
from ops.exports.shape import Options
from simulator import agents, contracts

SHIPPED = Path(__file__).resolve().parents[3] / "tools"
TOOL = """{
  "name": "NAME",
  "description": "Looks an item up.",
  "parameters": {
    "type": "object",
    "properties": {
      "sku": {"type": "string", "description": "Product number."},
      "place": {"type": "string", "enum": ["A-1", "B-2"], "description": "Where."}
    },
    "required": ["sku"],
    "additionalProperties": false
  },
  "aliases": {"place": {"A_1": "A-1", "B_2": "B-2"}},
  "columns": {
    "name": {"type": "string", "description": "What it is called."},
    "pieces": {"type": "integer", "description": "How many there are."}
  },
  "timeout_ms": 3000
}
"""
SQL = """-- One row is one item.
SELECT name, pieces
FROM items
WHERE sku = %(sku)s AND place = %(place)s
"""
EXAMPLES = """[
  {
    "arguments": {"sku": "A"},
    "output": {"items": [{"name": "Anvil", "pieces": 2}], "total": 1}
  }
]
"""
T, Q, E = "tool.json", "query.sql", "examples.json"
SKU = '{"type": "string", "description": "Product number."}'
PLACE = '{"type": "string", "enum": ["A-1", "B-2"], "description": "Where."}'
ALIASES = '  "aliases": {"place": {"A_1": "A-1", "B_2": "B-2"}},\n'
COLUMNS = TOOL[TOOL.index('  "columns"') : TOOL.index('  "timeout_ms"')]


def called(name):
    """sku under another name, in all three files."""
    return [
        (T, '"sku":', f'"{name}":'),
        (T, '["sku"]', f'["{name}"]'),
        (Q, "%(sku)s", f"%({name})s"),
        (E, '"sku"', f'"{name}"'),
    ]


def schema(text):
    """sku with another schema; an example would not fit all of them."""
    return [(T, SKU, text), (E, EXAMPLES, "[]")]


def more(count):
    """Inputs besides sku and place."""
    names = [f"more_{number}" for number in range(count)]
    lines = "".join(f',\n      "{n}": {{"type": "string", "description": "More."}}' for n in names)
    return [
        (T, PLACE, PLACE + lines),
        (Q, "place =", "".join(f"%({n})s::text = '' AND " for n in names) + "place ="),
    ]


ACTION, AVA, GUIDE = TARGETS
# for which target; what is replaced; file and line where it is found; words of the message
SEEDED = [
    (ACTION, called("größe"), T, 7, "größe cannot name an input"),
    (ACTION, called("_sku"), T, 7, "_sku cannot name an input"),
    (ACTION, called("1st"), T, 7, "1st cannot name an input"),
    (ACTION, called("orgId"), T, 7, "orgId is reserved by Genesys"),
    (ACTION, called("integrationId"), T, 7, "integrationId is reserved"),
    (ACTION, called("rawRequest"), T, 7, "rawRequest is reserved"),
    (ACTION, schema('{"type": "array", "items": {}}'), T, 7, 'sku must have one "type"'),
    (ACTION, schema('{"type": "object"}'), T, 7, 'sku must have one "type" of string, integer'),
    (ACTION, schema('{"maxLength": 5}'), T, 7, 'sku must have one "type"'),
    (ACTION, schema('{"type": ["string", "boolean"]}'), T, 7, 'sku must have one "type"'),
    (ACTION, schema('{"type": "null"}'), T, 7, 'sku must have one "type"'),
    (ACTION, schema('{"enum": ["a", 1]}'), T, 7, 'sku must have one "type"'),
    (ACTION, [
        *schema('{"$ref": "#/definitions/s"}'),
        (T, '    "required"', '    "definitions": {"s": {"type": "string"}},\n    "required"'),
    ], T, 7, "$ref cannot be in a contract"),
    (ACTION, schema('{"oneOf": [{"type": "string"}]}'), T, 7, "oneOf cannot be in a contract"),
    (ACTION, schema('{"type": "string", "anyOf": [{"minLength": 1}]}'), T, 7, "anyOf cannot be"),
    (ACTION, schema('{"allOf": [{"type": "string"}]}'), T, 7, "allOf cannot be in a contract"),
    (ACTION, schema('{"type": "string", "not": {"const": "x"}}'), T, 7, "not cannot be in a"),
    (ACTION, [(T, '    "required"', '    "if": {}, "then": {},\n    "required"')],
     T, 10, "if cannot be in a contract"),
    (ACTION, [(T, '    "required"', '    "dependencies": {"place": ["sku"]},\n    "required"')],
     T, 10, "dependencies cannot be in a contract"),
    (ACTION, [(T, '    "required"', '    "anyOf": [{"required": ["sku"]}],\n    "required"')],
     T, 10, "anyOf cannot be in a contract"),
    (ACTION, [(T, COLUMNS, "")], T, 1,
     'write "columns": {"name": {"type": "string"}, "pieces": {"type": "integer"}}'),
    (ACTION, [(T, COLUMNS, '  "columns": {},\n')], T, 1, "columns is missing"),
    (ACTION, [(T, '"name": {"type"', '"a.b": {"type"'), (E, '"name"', '"a.b"')], T, 15,
     "a.b cannot name an output"),
    (ACTION, [(T, '"name": {"type"', '"full name": {"type"'), (E, '"name"', '"full name"')], T, 15,
     "full name cannot name an output"),
    (ACTION, [(T, '"pieces": {"type"', '"2nd": {"type"'), (E, '"pieces"', '"2nd"')], T, 16,
     "2nd cannot name an output"),
    (ACTION, [(T, '"type": "integer"', '"type": "array"')], T, 16, 'must have a "type" of string'),
    (ACTION, [(T, '"type": "integer", ', "")], T, 16, 'column pieces must have a "type"'),
    (ACTION, [(T, '"type": "integer"', '"kind": "integer"')], T, 16, "column pieces must be"),
    (ACTION, [(T, '"A-1", "B_2"', '"C-3", "B_2"')], T, 13, "which is not in its enum"),
    (ACTION, [(T, '{"place": {"A_1"', '{"sku": {"A_1"')], T, 13, "no property with an enum"),
    (ACTION, [(E, '"pieces": 2', '"pieces": 2, "x": 1')], E, 2, "does not have the columns name"),
    (ACTION, [(E, '"pieces": 2', '"pieces": "2"')], E, 2, 'pieces is "2", which is not of'),
    (ACTION, [(E, '"pieces": 2', '"pieces": null')], E, 2, "pieces is null, which is not of the"),
    (ACTION, [(E, '"Anvil"', '[{"a": 1}]')], E, 2, 'name is [{"a": 1}], which is not of the type'),
    (ACTION, [(T, "3000", "9000")], T, 18, "timeout_ms is above the 7750"),
    (ACTION, [(T, '"timeout_ms": 3000', '"max_bytes": 300000')], T, 18, "max_bytes is above"),
    (ACTION, [(E, EXAMPLES, "[]")], T, 14, "no example has rows"),
    (AVA, [(T, ALIASES, "")], T, 8, 'write "aliases": {"place": {"A_1": "A-1", "B_2": "B-2"}}'),
    (AVA, [(T, '"B-2"], "d', '"2 b"], "d'), (T, '"B_2": "B-2"', '"2b": "2 b"')],
     T, 8, '2 b cannot be in an agent\'s enum; write "aliases": {"place": {"_2_b": "2 b"}}'),
    (AVA, called("type"), T, 7, "type is a word of agents' own types"),
    (AVA, called("list"), T, 7, "list is a word of agents' own types"),
    (AVA, [(T, '"name": {"type"', '"dict": {"type"'), (E, '"name"', '"dict"')], T, 15,
     "dict is a word of agents' own types"),
    (AVA, schema('{"type": "string", "const": "A", "description": "x"}'), T, 7, "const makes"),
    (AVA, schema('{"type": "string"}'), T, 7, "sku has no description"),
    (AVA, schema('{"type": "string", "description": " "}'), T, 7, "sku has no description"),
    (AVA, [(T, "Looks an item up.", "Looks. " * 72)], T, 3, "description has 504 characters"),
    (AVA, more(4), T, 6, "6 inputs; agents work best with up to 5"),
    (GUIDE, more(3), T, 11, "5 inputs; a guide takes an action with at most 4"),
    (AVA, [
        *schema('{"type": "string"}'),
        (T, '  "parameters"', '  "bind": {"sku": "/s"}, "parameters"'),
    ], T, 7, "sku has no description; the flow's author fills it"),
    (GUIDE, schema('{"type": "string"}'), T, 7, "sku has no description"),
]  # fmt: skip


def write(folder, name, changes=()):
    texts = {T: TOOL, Q: SQL, E: EXAMPLES}
    for file, old, new in changes:
        assert old in texts[file], old
        texts[file] = texts[file].replace(old, new, 1)
    (folder / name).mkdir()
    for file, text in texts.items():
        (folder / name / file).write_text(text.replace("NAME", name))


def found_in(folder, target):
    """What `tools check --for` finds."""
    try:
        catalog.load(folder)
    except CatalogError as refused:
        return list(refused.mistakes)
    return [finding.mistake for finding in checked_for([target], folder)]


@pytest.mark.parametrize("number", range(len(SEEDED)))
def test_a_seeded_mistake_is_found_where_it_is(tmp_path, number):
    target, changes, file, line, words = SEEDED[number]
    write(tmp_path, "find_item", changes)
    found = found_in(tmp_path, target)
    places = [(m.file, m.line) for m in found if words in m.message]
    assert (f"find_item/{file}", line) in places, found


def test_there_are_as_many_seeded_mistakes_as_required():
    assert len(SEEDED) >= 40


@pytest.mark.parametrize("target", TARGETS)
def test_without_a_mistake_the_same_tool_passes(tmp_path, target):
    write(tmp_path, "find_item")
    assert found_in(tmp_path, target) == []


def test_a_name_that_an_agent_writes_too_short_or_like_another(tmp_path):
    write(tmp_path, "ab")
    write(tmp_path, "find_item")
    write(tmp_path, "find-item")
    write(tmp_path, "9_lives")
    found = {m.file: (m.line, m.message) for m in found_in(tmp_path, AVA)}
    assert found["ab/tool.json"][0] == 2
    assert "9_lives/tool.json" in found
    assert found["find_item/tool.json"] == (
        2, "an agent would call it FindItem, as it calls find-item; write another name"
    )  # fmt: skip


def test_a_tool_without_inputs_is_one_that_agents_drop(tmp_path):
    properties = TOOL[TOOL.index('    "properties"') : TOOL.index('    "additional')]
    changes = [(T, properties, '    "properties": {},\n'), (T, ALIASES, ""), (E, EXAMPLES, "[]")]
    changes.append((Q, SQL, "SELECT name, pieces FROM items"))
    write(tmp_path, "find_item", changes)
    (found,) = [m for m in found_in(tmp_path, AVA) if "without inputs" in m.message]
    assert (found.file, found.line) == ("find_item/tool.json", 4)


def test_the_26th_tool_of_an_agent_is_one_too_many(tmp_path):
    for number in range(26):
        write(tmp_path, f"tool_{number:02}")
    (found,) = [m for m in found_in(tmp_path, AVA) if "at most 25" in m.message]
    assert found.file == "tool_25/tool.json"
    (sixth, *_) = found_in(tmp_path, GUIDE)
    assert sixth.file == "tool_05/tool.json"


STRING = {"type": "string", "description": "Some text."}
# sound tools: properties, required, columns
SOUND = {
    "plain": ({"a": STRING}, ["a"]),
    "optional": ({"a": STRING}, []),
    "length": ({"a": {**STRING, "minLength": 1, "maxLength": 9}}, ["a"]),
    "pattern": ({"a": {**STRING, "pattern": "^[A-Z]{2}$"}}, ["a"]),
    "date": ({"a": {**STRING, "format": "date"}}, ["a"]),
    "email": ({"a": {**STRING, "format": "email"}}, ["a"]),
    "whole": ({"a": {"type": "integer", "minimum": 1, "description": "How many."}}, ["a"]),
    "decimal": ({"a": {"type": "number", "maximum": 5, "description": "How much."}}, ["a"]),
    "yes_or_no": ({"a": {"type": "boolean", "description": "Whether."}}, ["a"]),
    "enum_of_words": ({"a": {**STRING, "enum": ["OPEN", "in_work", "_x"]}}, ["a"]),
    "enum_without_type": ({"a": {"enum": ["A", "B"], "description": "Which."}}, ["a"]),
    "enum_of_numbers": ({"a": {"type": "integer", "enum": [1, 2], "description": "Which."}}, ["a"]),
    "nullable": ({"a": {**STRING, "type": ["string", "null"]}}, []),
    "nullable_enum": ({"a": {"enum": ["A", None], "description": "Which."}}, []),
    "default": ({"a": {**STRING, "default": "x"}}, []),
    "four": (dict.fromkeys("abcd", STRING), ["a", "b"]),
    "camel": ({"orderNumber": STRING, "x1": STRING}, ["orderNumber"]),
}


@pytest.mark.parametrize("target", TARGETS)
def test_no_sound_tool_is_refused(tmp_path, target):
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    for name, (properties, required) in SOUND.items():
        (tmp_path / name).mkdir()
        parameters = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
        columns = {"n": {"type": "number", "description": "A number."}}
        tool = {"name": name, "description": name, "parameters": parameters, "columns": columns}
        used = " AND ".join(f"%({name})s::text IS NULL" for name in properties)
        (tmp_path / name / T).write_text(json.dumps(tool))
        (tmp_path / name / Q).write_text(f"SELECT 1 AS n WHERE {used}")
        (tmp_path / name / E).write_text("[]")
    loaded = catalog.load(tmp_path)
    assert len(loaded.tools) == 20
    found = checked_for([target], tmp_path)
    assert [finding.mistake for finding in found if not finding.is_warning] == []
    options = Options("https://tools.example.com")
    parts = [shared()]
    for tool in loaded.tools.values():
        assert contracts.problems(import_file(tool, options)) == []
        parts.append(definition(tool, options))
    assert agents.problems(agents.merged(parts)) == []
