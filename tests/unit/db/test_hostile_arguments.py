"""Hostile arguments: no number, text or keyword passes validation wrongly or slows it down."""

import json
import socket
import time
import tracemalloc
from pathlib import Path

import pytest

from db import catalog
from db.catalog.validate import Validator
from db.errors import CatalogError, ToolError

SHIPPED = Path(__file__).resolve().parents[3] / "tools"


def _validator(**properties):
    return Validator({"type": "object", "properties": properties, "additionalProperties": False})


def _violations(validator, arguments):
    with pytest.raises(ToolError) as refused:
        validator.values(arguments)
    assert refused.value.code == "invalid_arguments"
    return {v["path"]: v["message"] for v in refused.value.violations}


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400])
def test_a_number_beyond_a_float_is_refused_by_its_path(number):
    validator = _validator(n={"type": "array", "items": {"type": "number", "multipleOf": 0.01}})
    found = _violations(validator, f'{{"n": [1, {number}]}}')
    assert found == {"/n/1": "is too large a number: write a smaller one"}


@pytest.mark.parametrize(("text", "value"), [("5.0", 5), ("1e3", 1000), ("-0.0", 0)])
def test_a_whole_number_is_bound_as_one_however_it_is_written(text, value):
    found = _validator(n={"type": "number"}).values(f'{{"n": {text}}}')["n"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("email", ["a@" + "a." * 30_000 + "@", "a." * 30_000 + "@", "@" * 60_000])
def test_no_e_mail_address_holds_a_worker_up(email):
    began = time.process_time()
    with pytest.raises(ToolError) as refused:
        catalog.load(SHIPPED).validate("list_recent_tickets", json.dumps({"email": email}))
    assert refused.value.code == "invalid_arguments"
    assert time.process_time() - began < 5  # half a minute where each dot is tried for every dot


@pytest.mark.parametrize(
    ("email", "is_one"),
    [
        ("ada.brandt8@example.com", True),
        ("o'neil+tag@mail.example.co.uk", True),
        ("jörg@exämple.de", True),
        ("a@b", False),
        ("a@@b.com", False),
        ("a b@c.com", False),
        ("@b.com", False),
        ("a@b.com\n", False),
        (".a@b.com", False),
        ("a.@b.com", False),
        ("a..b@c.com", False),
        ("a@b..com", False),
        ("a@.com", False),
    ],
)
def test_an_e_mail_address_has_a_name_an_at_and_a_domain(email, is_one):
    validator = _validator(e={"type": "string", "format": "email"})
    if is_one:
        assert validator.values(json.dumps({"e": email})) == {"e": email}
    else:
        assert "/e" in _violations(validator, json.dumps({"e": email}))


@pytest.mark.parametrize(
    ("schema", "text", "other", "message"),
    [
        ({"pattern": "^[A-Z]{2}-\\d{3}$"}, "AB-123", "AB-١٢٣",
         "must match the pattern ^[A-Z]{2}-\\d{3}$"),
        ({"format": "time"}, "15:04:05Z", "15:04:0٥Z",
         "must be a time with an offset, for example 15:04:05Z or 15:04:05+01:00"),
        ({"format": "date"}, "2026-01-02", "2026-01-0٢",
         "must be a date as YYYY-MM-DD, for example 2026-02-28"),
        ({"format": "uuid"}, "8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2",
         "8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b٢",
         "must be a UUID, for example 8f14e45f-ceea-467f-9f6c-5e2bd6e8a1b2"),
    ],
)  # fmt: skip
def test_a_digit_is_one_of_ten_as_in_every_other_json_schema(schema, text, other, message):
    validator = _validator(e={"type": "string", **schema})
    assert validator.values(json.dumps({"e": text})) == {"e": text}
    (found,) = _violations(validator, json.dumps({"e": other})).values()
    assert found.startswith(message)


def test_a_property_called_pattern_is_not_taken_for_one():
    validator = _validator(pattern={"enum": [{"pattern": "x"}]})
    assert validator.values('{"pattern": {"pattern": "x"}}') == {"pattern": {"pattern": "x"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": 5},
        {"items": 3},
        {"anyOf": 5},
        {"$ref": 5},
        {"properties": 5},
        {"additionalProperties": 5},
        {"dependencies": 5},
        {"dependencies": {"a": 5}},
        {"not": 5},
        {"if": 5, "then": 5},
        {"contains": 5},
        {"patternProperties": 5},
        {"propertyNames": 5},
        {"oneOf": [5]},
    ],
)
def test_a_schema_that_is_nonsense_is_a_mistake_and_not_a_crash(tmp_path, schema):
    _write(tmp_path, {"type": "object", "properties": {"a": schema}, "additionalProperties": False})
    with pytest.raises(CatalogError, match=r"t/tool.json:\d+: "):
        catalog.load(tmp_path)


@pytest.mark.parametrize("key", ["$schema", "$id"])
def test_a_schema_whose_name_is_no_text_is_a_mistake_and_not_a_crash(tmp_path, key):
    schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": False, key: 5}
    _write(tmp_path, schema)
    with pytest.raises(CatalogError, match=r"t/tool.json:\d+: "):
        catalog.load(tmp_path)


def test_a_step_of_zero_is_a_mistake_and_not_a_division_by_it_later(tmp_path):
    schema = {"type": "object", "properties": {"a": {"multipleOf": 0}}}
    _write(tmp_path, {**schema, "additionalProperties": False})
    with pytest.raises(CatalogError, match="multipleOf must be more than 0"):
        catalog.load(tmp_path)


@pytest.mark.parametrize("key", ["enum", "default", "examples", "const"])
def test_a_reference_among_values_is_refused_and_nothing_is_fetched(tmp_path, key):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        value = [{"$ref": f"http://127.0.0.1:{listener.getsockname()[1]}/"}]
        properties = {"a": {key: value}}
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        _write(tmp_path, schema)
        with pytest.raises(CatalogError, match=r"holds \$ref or \$id"):
            catalog.load(tmp_path)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_nul_in_the_statement_is_a_mistake_on_its_line(tmp_path):
    schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    _write(tmp_path, schema, sql="SELECT\n%(a)s\0")
    with pytest.raises(CatalogError) as refused:
        catalog.load(tmp_path)
    (mistake,) = refused.value.mistakes
    assert (mistake.file, mistake.line) == ("t/query.sql", 2)


def test_files_with_a_byte_order_mark_are_read_without_it(tmp_path):
    schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    _write(tmp_path, schema, sql="\ufeffSELECT %(a)s", mark="\ufeff")
    assert catalog.load(tmp_path).tools["t"].statement == "SELECT %(a)s"


def _write(folder, schema, *, sql="SELECT %(a)s", mark=""):
    tool = {"name": "t", "description": "d", "parameters": schema}
    (folder / "t").mkdir()
    (folder / "t/tool.json").write_text(mark + json.dumps(tool), encoding="utf-8")
    (folder / "t/query.sql").write_text(sql, encoding="utf-8")
    (folder / "t/examples.json").write_text("[]")


def _expression(depth, leaf):
    value = leaf
    for _ in range(depth):
        value = {"op": "and", "args": [value]}
    return value


def test_a_schema_that_recurs_in_several_branches_is_explained_in_bounded_time():
    branches = [
        {
            "type": "object",
            "properties": {"op": {"const": op}, "args": {"items": {"$ref": "#/definitions/node"}}},
            "required": ["op", "args"],
        }
        for op in ("and", "or", "not")
    ]
    schema = {
        "type": "object",
        "properties": {"e": {"$ref": "#/definitions/node"}},
        "definitions": {"node": {"oneOf": [*branches, {"type": "integer"}]}},
        "additionalProperties": False,
    }
    validator = Validator(schema)
    assert validator.values(json.dumps({"e": _expression(30, 1)}))
    # 3 ** 30 branches otherwise
    ((path, message),) = _violations(validator, json.dumps({"e": _expression(30, "x")})).items()
    assert path == "/e"
    assert len(message) < 1_000


TREE = {"type": "array", "items": {"$ref": "#/definitions/n"}}
OBJECT = {"type": "object", "additionalProperties": {"$ref": "#/definitions/n"}}


def _operator(name, *, required=("op",), first=True):
    op, of = {"op": {"const": name}}, {"of": {"$ref": "#/definitions/n"}}
    properties = {**op, **of} if first else {**of, **op}
    return {"type": "object", "properties": properties, "required": list(required)}


@pytest.mark.parametrize(
    ("node", "is_refused"),
    [
        ({"anyOf": [TREE, {**TREE, "minItems": 2}, {"type": "integer"}]}, True),
        ({"allOf": [TREE, {**TREE, "minItems": 2}]}, True),
        ({"if": TREE, "then": TREE}, True),
        ({"anyOf": [OBJECT, {**OBJECT, "properties": {"a": {"$ref": "#/definitions/n"}}}]}, True),
        ({"anyOf": [_operator("and", required=()), _operator("or", required=())]}, True),
        ({"anyOf": [_operator("and", first=False), _operator("or", first=False)]}, True),
        ({"anyOf": [_operator("and"), _operator("or"), {"type": "integer"}]}, False),
        ({"anyOf": [TREE, OBJECT, {"type": "integer"}]}, False),
        ({"anyOf": [{"$ref": "#/definitions/pair"}, {"type": "null"}]}, False),
        (
            {"type": "array", "items": [{"$ref": "#/definitions/n"}, {"$ref": "#/definitions/n"}]},
            False,
        ),
    ],
)
def test_a_schema_whose_work_doubles_with_each_level_is_refused(tmp_path, node, is_refused):
    next_ = {"$ref": "#/definitions/n"}
    pair = {"type": "object", "properties": {"left": next_, "right": next_}}
    definitions = {"n": node, "pair": pair}
    properties = {"a": next_}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    _write(tmp_path, {**schema, "definitions": definitions})
    if is_refused:
        with pytest.raises(CatalogError, match="each level doubles the work"):
            catalog.load(tmp_path)
    else:
        assert list(catalog.load(tmp_path).tools) == ["t"]


def test_many_errors_of_many_branches_are_not_kept():
    schema = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "boolean"}]}
    tracemalloc.start()
    assert _violations(_validator(a=schema), json.dumps({"a": [1] * 20_000}))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20_000_000


@pytest.mark.parametrize(
    ("number", "step", "fits"),
    [
        ("1e308", 0.5, True),
        ("0.3", 0.1, True),
        ("5e-324", 3, False),
        ("123456789012345678901234567890.5", 3, False),
        ("123456789012345678901234567890", 3, True),
        ("1e22", 1e-300, True),
        ("1e22", 1e308, False),
    ],
)
def test_a_multiple_is_judged_by_its_digits(number, step, fits):
    validator = _validator(n={"type": "number", "multipleOf": step})
    if fits:
        assert validator.values(f'{{"n": {number}}}')
    else:
        (message,) = _violations(validator, f'{{"n": {number}}}').values()
        assert message.startswith(f"must be a multiple of {step}, for example {step} or ")
