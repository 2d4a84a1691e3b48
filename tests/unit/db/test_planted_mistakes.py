"""Mistakes that people make, one a tool folder: each is found, alone, at its file and line."""

import pytest

from db import catalog
from db.errors import CatalogError
from db.lint import offline

TOOL = """{
  "name": "NAME",
  "description": "Looks an item up.",
  "parameters": {
    "type": "object",
    "properties": {
      "sku": {"type": "string", "maxLength": 20}
    },
    "required": ["sku"],
    "additionalProperties": false
  },
  "no_rows_message": "Nothing for {sku}.",
  "max_rows": 10
}
"""
SQL = """-- One row is one item.
SELECT name
FROM items
WHERE sku = %(sku)s
"""
EXAMPLES = """[
  {"arguments": {"sku": "A"}, "output": {"items": [], "total": 0}},
  {
    "arguments": {"sku": "B"},
    "output": {"items": [], "total": 0}
  }
]
"""
SKU = '"sku": {"type": "string", "maxLength": 20}'
T, Q, E = "tool.json", "query.sql", "examples.json"

# what is replaced in which file, by what; the line where it must be found, and words of the mistake
PLANTED = [
    (T, '"Looks an item up.",', '"Looks an item up."', 4, "JSON: put a comma between two values"),
    (T, '"Looks an item up."', "'Looks'", 3, "in double quotes, not in single ones (column 18)"),
    (T, '"max_rows": 10', '"max_rows": 10,', 14, "is not valid JSON: leave out the comma before }"),
    (T, '"max_rows"', '// rows\n  "max_rows"', 13, "is not valid JSON: leave out comments"),
    (T, ": false", ": False", 10, "JSON: write true, false or null, in lower case (column 29)"),
    (T, '"max_rows": 10\n}\n', '"max_rows": 10\n', 14, "JSON: it ends too early; close every"),
    (T, TOOL, TOOL + TOOL, 15, "JSON: leave out what stands behind the first value (column 1)"),
    (T, TOOL, "", 1, "is not valid JSON: it is empty"),
    (
        T,
        TOOL,
        '[{"type": "function"}]',
        1,
        "must hold an object; give each tool a folder of its own",
    ),
    (T, '"max_rows": 10', '"max_rows": NaN', 1, "is not usable JSON"),
    (T, '"max_rows": 10', '"max_rows": 10,\n  "max_rows": 20', 14, "max_rows is there twice"),
    (T, TOOL, "[]", 1, "must hold an object"),
    (T, '"max_rows"', '"maxrows"', 13, "maxrows is not a key of a tool; did you mean max_rows?"),
    (T, '"description": "Looks an item up.",\n', "", 1, "description is missing"),
    (T, '"Looks an item up."', '" "', 3, "description is empty"),
    (T, '"NAME"', '"other"', 2, "name is other, but the folder is"),
    (T, '"max_rows": 10', '"max_rows": "10"', 13, "max_rows must be a whole number"),
    (T, '"max_rows": 10', '"max_rows": 0', 13, "max_rows must be from 1 to 10000"),
    (T, '"max_rows": 10', '"timeout_ms": 60001', 13, "timeout_ms must be from 1 to 60000"),
    (T, '"max_rows": 10', '"max_bytes": 500000', 13, "max_bytes must be from 1 to 400000"),
    (T, '"max_rows": 10', '"database": "crm-eu"', 13, "database must be a letter"),
    (T, "{sku}.", "{skuu}.", 12, "no_rows_message has {skuu}, which is no property"),
    (T, "{sku}.", "{sku.", 12, "no_rows_message cannot be filled in"),
    (T, '"type": "object"', '"type": "array"', 5, 'must have "type": "object"'),
    (T, '"type": "object"', '"type": "objct"', 5, "type objct is none of"),
    (T, '": false', '": true', 10, 'must have "additionalProperties": false'),
    (T, ',\n    "additionalProperties": false', "", 4, 'must have "additionalProperties": false'),
    (T, '["sku"]', '["sku", "sk"]', 9, "required names sk, which is no property; did you mean"),
    (T, '["sku"]', '"sku"', 9, "required must be an array"),
    (T, SKU, '"sku": {"type": "strng"}', 7, "type strng is none of"),
    (T, SKU, '"sku": {"maxlength": 20}', 7, "did you mean maxLength?"),
    (T, SKU, '"sku": {"maxLength": "20"}', 7, "maxLength must be a whole number"),
    (T, SKU, '"sku": {"minimum": "1"}', 7, "minimum must be a number"),
    (T, SKU, '"sku": {"multipleOf": 0}', 7, "multipleOf must be more than 0"),
    (T, SKU, '"sku": {"exclusiveMinimum": true}', 7, "exclusiveMinimum must be a number"),
    (T, SKU, '"sku": {"format": "dat"}', 7, "format dat would not be checked; known: date"),
    (T, SKU, '"sku": {"format": "uri"}', 7, "format uri would not be checked"),
    (T, SKU, '"sku": {"pattern": "["}', 7, "pattern [ cannot be read"),
    (T, SKU, '"sku": {"minLength": 9, "maxLength": 8}', 7, "minLength 9 is above maxLength 8"),
    (T, SKU, '"sku": {"minimum": 2, "maximum": 1}', 7, "minimum 2 is above maximum 1"),
    (T, SKU, '"sku": {"enum": []}', 7, "enum must hold a value"),
    (T, SKU, '"sku": {"$ref": "other.json"}', 7, "leaves the file; nothing is fetched"),
    (T, SKU, '"sku": {"$ref": "#/definitions/no"}', 7, "leads to nothing in parameters"),
    (T, SKU, '"sku": {"$ref": "#", "minLength": 1}', 7, "minLength is ignored beside $ref"),
    (T, SKU, '"sku": {"prefixItems": [{}]}', 7, "prefixItems is no keyword that is checked"),
    (T, SKU, '"sku": {"$dynamicRef": "#a"}', 7, "$dynamicRef is no keyword that is checked"),
    (T, SKU, '"sku": {"dependentRequired": {}}', 7, "dependentRequired is no keyword"),
    (T, SKU, '"sku": {"unevaluatedProperties": false}', 7, "unevaluatedProperties is no keyword"),
    (T, SKU, '"sku": {"then": {}}', 7, "then is ignored without if"),
    (T, SKU, '"sku": {"type": "string", "default": 5}', 7, "default 5 breaks its own schema"),
    (T, SKU, '"sku": 5', 7, "must be a schema"),
    (
        T,
        '"type": "object",',
        '"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",',
        5,
        "another draft is not read",
    ),
    (T, SKU, SKU + ',\n      "size": {}', 8, "size is a property but query.sql does not use it"),
    (Q, "%(sku)s", "%(sku)s AND a = %(sk)s", 4, "%(sk)s is no property of the schema; did you"),
    (Q, "name", "name LIKE 'a%'", 2, "a lone %; write %% for a percent sign"),
    (Q, "%(sku)s", "%(sku)s OR sku = '%(sku)s'", 4, "%(sku)s stands in quotes or a comment"),
    (Q, "one item", "one item of %(sku)s", 1, "%(sku)s stands in quotes or a comment"),
    (Q, "%(sku)s", "%(sku)s;\nSELECT 1", 4, "more than one statement"),
    (Q, "SELECT name", "UPDATE items SET name = 'x'", 2, "UPDATE writes; a tool only reads"),
    (
        Q,
        "SELECT name\nFROM items",
        "WITH gone AS (\n  DELETE FROM items RETURNING *)\nSELECT name FROM gone",
        3,
        "DELETE FROM looks like writing or locking",
    ),
    (Q, "%(sku)s", "%(sku)s\nFOR UPDATE", 5, "FOR UPDATE looks like writing or locking"),
    (Q, "SELECT name", "SELECT name INTO kept", 2, "SELECT NAME INTO looks like writing"),
    (Q, "SELECT name", "EXPLAIN SELECT name", 2, "begins with EXPLAIN; a tool is one SELECT"),
    (Q, "name", "name\0", 2, "holds a NUL character"),
    # definitions of functions, pasted
    (
        T,
        TOOL,
        '{\n "type": "function",\n "function": {"name": "NAME"}\n}',
        3,
        "put what is under function at the top",
    ),
    (T, '"parameters"', '"input_schema": {}, "parameters"', 4, "call it parameters"),
    (T, '"parameters"', '"strict": true, "parameters"', 4, "a tool is always strict"),
    (T, '"parameters"', '"tools": [], "parameters"', 4, "give each tool a folder of its own"),
    # what nothing fits, or what would be ignored
    (
        T,
        SKU,
        '"sku": {"type": "integer", "enum": ["1", "2"]}',
        7,
        "nothing fits: enum and the rest",
    ),
    (T, SKU, '"sku": {"type": "string", "enum": ["A", 2]}', 7, "enum 2 breaks its own schema"),
    (T, SKU, '"sku": {"type": "string", "const": 1}', 7, "nothing fits: const and the rest"),
    (T, SKU, '"sku": {"type": "string", "minimum": 1}', 7, "minimum is ignored: it is for type"),
    (
        T,
        SKU,
        '"sku": {"type": "integer", "pattern": "^1"}',
        7,
        "pattern is ignored: it is for type",
    ),
    (T, SKU, '"sku": {"type": "string", "items": {}}', 7, "items is ignored: it is for type array"),
    (T, SKU, '"sku": {"type": "string", "examples": [1]}', 7, "examples 1 breaks its own schema"),
    (T, SKU, '"sku": {"type": "integer", "minimum": 1.2, "maximum": 1.8}', 7, "no whole number"),
    (
        T,
        SKU,
        '"sku": {"type": "number", "exclusiveMinimum": 2, "maximum": 2}',
        7,
        "exclusiveMinimum 2 leaves nothing below maximum 2",
    ),
    (
        T,
        SKU,
        '"sku": {"type": "string", "format": "uuid", "maxLength": 20}',
        7,
        "maxLength 20 is too short for the format uuid",
    ),
    (
        T,
        SKU,
        '"sku": {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": true, "minItems": 3}',
        7,
        "minItems 3 is more than the 2 values",
    ),
    (
        T,
        SKU,
        '"sku": {"type": "string", "anyOf": [{"type": "integer"}, {"minLength": 1}]}',
        7,
        "nothing fits this part of anyOf",
    ),
    (
        T,
        SKU,
        '"sku": {"type": "object", "additionalProperties": false, "required": ["a"]}',
        7,
        "required names a, which is no property; nothing fits",
    ),
    (
        T,
        '["sku"]',
        '["sku"],\n    "allOf": [{"properties": {"size": {}}}]',
        11,
        "false forbids size, which is not in the properties beside it",
    ),
    (T, SKU, '"sku": false', 9, "required names sku, which properties forbids; nothing fits"),
    (T, SKU, '"sku": {"if": {"type": "string"}}', 7, "if is ignored without then or else"),
    (T, SKU, '"sku": {"$ref": "#/properties/sku"}', 7, "leads back to itself and judges nothing"),
    (
        T,
        SKU,
        '"sku": {"$schema": "http://json-schema.org/draft-07/schema#"}',
        7,
        "$schema belongs at the top of parameters alone",
    ),
    (T, SKU, '"sku": {"type": "int"}', 7, "did you mean integer?"),
    (T, SKU, '"sku": {"type": "string", "nullable": true}', 7, 'write "type": ["string", "null"]'),
    (T, SKU, '"sku": {"type": "string", "required": true}', 7, "required must be an array"),
    # patterns that JavaScript reads otherwise than Python, or that need more than linear time
    (T, SKU, '"sku": {"pattern": "\\\\Aab\\\\Z"}', 7, "pattern \\Aab\\Z cannot be read"),
    (T, SKU, '"sku": {"pattern": "^a{,3}$"}', 7, "pattern ^a{,3}$ cannot be read"),
    (T, SKU, '"sku": {"pattern": "(?i)x"}', 7, "pattern (?i)x cannot be read"),
    (T, SKU, '"sku": {"pattern": "^(?=a)b"}', 7, "pattern ^(?=a)b cannot be read"),
    # defaults that are never used
    (T, SKU, '"sku": {"type": "string", "default": "A"}', 7, "default of sku is never used"),
    (T, SKU, '"sku": {"anyOf": [{"default": "A"}, {}]}', 7, "default is never used here"),
    # placeholders of other libraries
    (Q, "%(sku)s", "%(sku)s OR sku = :sku", 4, ":sku is no placeholder; write %(sku)s"),
    (Q, "%(sku)s", "%(sku)s OR sku = $1", 4, "$1 is no placeholder here; write %(sku)s"),
    (Q, "%(sku)s", "%(sku)s OR sku = {sku}", 4, "{sku} is no placeholder; write %(sku)s"),
    (Q, "%(sku)s", "%(sku)s OR sku = %s", 4, "%s has no name; write %(sku)s"),
    (Q, "%(sku)s", "%(sku)s OR sku = ?", 4, "? is no placeholder; write %(sku)s"),
    (Q, "%(sku)s", "%(sku)s OR sku = %(sku)d", 4, "%(sku) is no placeholder; write %(sku)s"),
    (Q, "%(sku)s", "%(sku)s AND a LIKE '%%%(sku)s%%'", 4, "write '%%' || %(sku)s || '%%'"),
    (
        T,
        SKU,
        SKU + ',\n      "customer-id": {"type": "integer"}',
        8,
        "customer-id can be no placeholder: a name has letters, digits and _ alone",
    ),
    # what loads, and is not what was meant
    (Q, "%(sku)s", "%(sku)s\nORDER BY %(sku)s", 5, "orders by a value that is the same"),
    (T, "{sku}.", "%(sku)s.", 12, "%(sku)s is not filled in here; write {sku}"),
    (T, '"properties": {', '"required": [], "properties": {', 9, "required is there twice"),
    (E, EXAMPLES, "{}", 1, "must hold an array"),
    (E, '"output": {"items": [], "total": 0}}', '"code": "bogus"}', 2, "code bogus is none of"),
    (
        E,
        '"B"',
        "5",
        3,
        "/sku must be a string of at most 20 characters: put it into quotes",
    ),
    (
        E,
        '"B"},',
        '"B", "x": 1},',
        3,
        "/x is not known: leave it out (known: sku)",
    ),
    (E, '{"sku": "A"}', '"A"', 2, "example 1: must be an object with arguments"),
    (E, '"output": {"items": [], "total": 0}\n', '"outpt": {}\n', 3, "either output or code"),
    (E, '"output": {"items": [], "total": 0}}', '"code": "invalid_arguments"}', 2, "are valid"),
]


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    for number, (file, old, new, _, _) in enumerate(PLANTED):
        texts = {T: TOOL, Q: SQL, E: EXAMPLES}
        assert old in texts[file]
        texts[file] = texts[file].replace(old, new, 1)
        path = folder / f"tool_{number}"
        path.mkdir()
        for name, text in texts.items():
            (path / name).write_text(text.replace("NAME", path.name))
    with pytest.raises(CatalogError) as refused:
        catalog.load(folder)
    warned = [finding.mistake for finding in offline.warnings(folder)]
    refusing = {mistake.file.partition("/")[0] for mistake in refused.value.mistakes}
    return [
        *refused.value.mistakes,
        *(mistake for mistake in warned if mistake.file.partition("/")[0] not in refusing),
    ]


@pytest.mark.parametrize("number", range(len(PLANTED)))
def test_a_planted_mistake_is_found_where_it_is(mistakes, number):
    file, _, _, line, words = PLANTED[number]
    found = [m for m in mistakes if m.file.startswith(f"tool_{number}/")]
    assert [(m.file, m.line) for m in found] == [(f"tool_{number}/{file}", line)], found
    assert words in found[0].message


def test_without_a_mistake_the_same_folder_is_a_tool(tmp_path):
    path = tmp_path / "tool"
    path.mkdir()
    for name, text in {T: TOOL, Q: SQL, E: EXAMPLES}.items():
        (path / name).write_text(text.replace("NAME", "tool"))
    assert list(catalog.load(tmp_path).tools) == ["tool"]
    assert list(offline.warnings(tmp_path)) == []
