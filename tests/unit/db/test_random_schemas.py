"""
Random schemas of draft 7 are judged as the jsonschema library judges them, path by path.

The library is compared with as it is released, its Draft7Validator over the schema as it was drawn.
Its paths and ours are the same, but for three rules whose error it places at the object, where ours
name the property: each that `required` misses, each that `additionalProperties: false` or a schema
`false` refuses.
"""

import re
from collections import Counter

from fastjsonschema import JsonSchemaDefinitionException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from db.catalog.explain import Explainer
from db.catalog.schema.subschemas import escape
from db.catalog.validate import compile_schema
from tests.cases import cases

NAMES = st.sampled_from(["a", "b", "ab", "x y", "ä/~", "{c}", 'q"'])
NUMBERS = st.integers(-3, 6) | st.sampled_from([0.5, -1.5, 2.0, 1e3])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "a", "ab", "é", "AB-12", "😀"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
PATTERNS = st.sampled_from(["^a", "b$", "^[a-z]+$", "^.$", r"\d", "x y|a"])
COUNTS = st.integers(0, 4)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])


def _keywords(schemas):
    named = st.dictionaries(NAMES, schemas, max_size=3)
    some = st.lists(schemas, min_size=1, max_size=3)
    return {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=4),
        "const": VALUES,
        "minLength": COUNTS,
        "maxLength": COUNTS,
        "pattern": PATTERNS,
        "minimum": NUMBERS,
        "maximum": NUMBERS,
        "exclusiveMinimum": NUMBERS,
        "exclusiveMaximum": NUMBERS,
        "multipleOf": st.integers(1, 4) | st.just(0.5),
        "items": schemas | some,
        "additionalItems": schemas,
        "minItems": COUNTS,
        "maxItems": COUNTS,
        "uniqueItems": st.booleans(),
        "contains": schemas,
        "properties": named,
        "patternProperties": st.dictionaries(PATTERNS, schemas, max_size=2),
        "additionalProperties": schemas,
        "propertyNames": schemas,
        "required": st.lists(NAMES, max_size=3, unique=True),
        "minProperties": COUNTS,
        "maxProperties": COUNTS,
        "dependencies": st.dictionaries(
            NAMES, schemas | st.lists(NAMES, max_size=2, unique=True), max_size=2
        ),
        "allOf": some,
        "anyOf": some,
        "oneOf": some,
        "not": schemas,
        "if": schemas,
        "then": schemas,
        "else": schemas,
    }


@st.composite
def _schema(draw, schemas):
    keywords = _keywords(schemas)
    names = draw(st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=5, unique=True))
    schema = {name: draw(keywords[name]) for name in names}
    if not isinstance(schema.get("items"), list):  # refused at load, and the library falls over it
        schema.pop("additionalItems", None)
    return schema


REFERENCES = st.sampled_from([{"$ref": "#/definitions/a"}, {"$ref": "#/definitions/x~1y"}])
SCHEMAS = st.recursive(st.booleans() | REFERENCES | st.just({}), _schema, max_leaves=8)
# definitions that refer to each other through a property or an item alone: never without progress
DEFINITIONS = st.fixed_dictionaries(
    {
        "a": st.sampled_from([{"type": "integer"}, {"items": {"$ref": "#/definitions/x~1y"}}]),
        "x/y": st.sampled_from(
            [{"maxLength": 1}, {"properties": {"a": {"$ref": "#/definitions/a"}}, "minItems": 1}]
        ),
    }
)
ROOTS = st.builds(
    lambda schema, shared: {**schema, "definitions": shared}, _schema(SCHEMAS), DEFINITIONS
)


@st.composite
def _nearly_fitting(draw, schema, shared, depth=0):
    """A value made after the schema's own words, so that many fit and the rest miss by little."""
    while isinstance(schema, dict) and "$ref" in schema:
        schema = shared[schema["$ref"].removeprefix("#/definitions/").replace("~1", "/")]
    if isinstance(schema, bool) or depth > 4 or draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    inner = [s for key in ("allOf", "anyOf", "oneOf") for s in schema.get(key, [])]
    inner += [schema[key] for key in ("then", "else", "if") if key in schema]
    if inner and draw(st.booleans()):
        return draw(_nearly_fitting(draw(st.sampled_from(inner)), shared, depth + 1))
    given = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    if given:
        return draw(st.sampled_from(given))
    kinds = schema.get("type", _implied(schema))
    kind = draw(st.sampled_from([kinds] if isinstance(kinds, str) else kinds))
    if kind == "object":
        properties = schema.get("properties", {})
        names = {*schema.get("required", []), *draw(st.lists(NAMES, max_size=2)), *properties}
        return {n: draw(_nearly_fitting(properties.get(n, True), shared, depth + 1)) for n in names}
    if kind == "array":
        items, size = schema.get("items", True), draw(st.integers(0, 3)) + schema.get("minItems", 0)
        parts = items if isinstance(items, list) else [items] * size
        return [draw(_nearly_fitting(part, shared, depth + 1)) for part in parts]
    simple = {"string": "ab", "integer": 2, "number": 1.5, "boolean": True, "null": None}
    return simple[kind]


def _implied(schema):
    for kind, keys in (("object", {"properties", "required"}), ("array", {"items", "minItems"})):
        if keys & set(schema):
            return kind
    return "string" if {"pattern", "minLength"} & set(schema) else "integer"


def _pointer(path):
    return "".join(f"/{escape(str(part))}" for part in path)


def _assert_alike(errors, value, found):
    """*found* are the paths of the library's *errors*, and the names that its three rules mean."""
    expected, of_false = set(), []
    for error in errors:
        path = _pointer(error.absolute_path)
        if error.validator is None:  # the schema `false`, at the object or at one of its parts
            of_false.append({path} | {f"{path}/{name}" for name in _named(error, value)})
        elif error.validator == "required":
            names = [name for name in error.validator_value if name not in error.instance]
            expected |= {f"{path}/{escape(name)}" for name in names}
        elif error.validator == "additionalProperties" and error.validator_value is False:
            expected |= {f"{path}/{escape(name)}" for name in _unknown(error)}
        else:
            expected.add(path)
    assert expected <= found
    assert found <= expected.union(*of_false)
    assert all(found & paths for paths in of_false)


def _named(error, value):
    """The parts of the object at an error's path that are what it refuses."""
    for part in error.absolute_path:
        value = value[part]
    parts = value.items() if isinstance(value, dict) else ()
    parts = enumerate(value) if isinstance(value, list) else parts
    return [escape(str(name)) for name, part in parts if part is error.instance]


def _unknown(error):
    patterns = error.schema.get("patternProperties", {})
    return [
        name
        for name in error.instance
        if name not in error.schema.get("properties", {})
        and not any(re.search(pattern, name) for pattern in patterns)
    ]


@settings(
    max_examples=cases(1000),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(schema=ROOTS, data=st.data())
def _judged_alike(counted, schema, data):
    try:
        judge = compile_schema(schema)
    except JsonSchemaDefinitionException:  # a name is required and not allowed: refused at load
        counted["refused"] += 1
        return
    library, explainer = Draft7Validator(schema), Explainer(schema)
    fitting = st.lists(_nearly_fitting(schema, schema["definitions"]), min_size=4, max_size=4)
    for value in data.draw(fitting) + data.draw(st.lists(VALUES, min_size=2, max_size=2)):
        expected = library.is_valid(value)
        assert judge(value) is expected, (schema, value)
        found = {violation["path"] for violation in explainer.violations(value)}
        errors = list(library.iter_errors(value))
        _assert_alike(errors, value, found)
        assert (not found) is expected
        counted["the same"] += found == {_pointer(error.absolute_path) for error in errors}
        counted["valid" if expected else "invalid"] += 1


def test_verdict_and_paths_of_random_schemas_are_those_of_the_library():
    counted = Counter()
    _judged_alike(counted)
    assert counted["refused"] < cases(1000) / 10
    assert min(counted["valid"], counted["invalid"]) > cases(1000), counted
    # of the rest each has one of the three rules
    assert counted["the same"] > counted["valid"] + counted["invalid"] / 2, counted
