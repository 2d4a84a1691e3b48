"""
Each case of JSON Schema's public test suite for draft 7 is judged right, or its schema refused.

`tests/data/json_schema_draft7.json` is `tests/draft7` of json-schema-org/JSON-Schema-Test-Suite at
44401e0c046704b476ec9d2e2fccdaee618f259d (MIT, its licence beside it), its files in one.
"""

import json
from pathlib import Path

import pytest
from fastjsonschema import JsonSchemaDefinitionException

from db.catalog.explain import Explainer
from db.catalog.keywords import unusable
from db.catalog.validate import compile_schema

FILES = json.loads((Path(__file__).parents[2] / "data/json_schema_draft7.json").read_text())
# Postgres takes no offset beyond 15:59, so these leap seconds are refused
REFUSED_OFFSETS = {
    "valid leap second, large positive time-offset",
    "valid leap second, large negative time-offset",
}
# `$id`, other drafts, `content…`, and formats that are not checked
REFUSED_AT_MOST = 0.25


def _checks(schema):
    """What judges a value, and what lists its violations; None when the schema is refused."""
    if list(unusable(schema)):
        return None
    try:
        return [compile_schema(schema), lambda value: not Explainer(schema).violations(value)]
    except (JsonSchemaDefinitionException, TypeError, ValueError, LookupError):
        return None


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_case_is_judged_right_or_its_schema_refused(name):
    for group in FILES[name]:
        for check in _checks(group["schema"]) or ():
            for case in group["tests"]:
                if case["description"] in REFUSED_OFFSETS:
                    assert not check(case["data"])
                    continue
                said = f"{group['description']}: {case['description']}"
                assert check(case["data"]) is case["valid"], said


def test_most_of_the_suite_is_judged_and_not_refused():
    cases = {True: 0, False: 0}
    for name, groups in FILES.items():
        for group in groups if not name.startswith("optional/") else ():
            cases[_checks(group["schema"]) is None] += len(group["tests"])
    assert cases[True] < REFUSED_AT_MOST * (cases[True] + cases[False]), cases
