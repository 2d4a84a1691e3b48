"""
Common mistakes of models in arguments, and the exact sentence that corrects each.

`tests/data/model_habits.json` holds tools' schemas and, for each habit, the arguments, what the
model is told (a sentence, or the messages by path) and whether that alone `suffices` for a reader
who has not seen the schema. Where it does not, the sentence cannot know what is wanted: the text
is no object at all, or names nothing of what belongs into it.
"""

import json
from pathlib import Path

import pytest

from db.arguments import REFUSED
from db.catalog.validate import Validator
from db.errors import ToolError

DATA = json.loads((Path(__file__).parents[2] / "data/model_habits.json").read_text())
VALIDATORS = {name: Validator(schema) for name, schema in DATA["schemas"].items()}
HABITS = DATA["habits"]


@pytest.mark.parametrize("number", range(len(HABITS)))
def test_the_sentence_states_what_to_write_instead(number):
    habit = HABITS[number]
    with pytest.raises(ToolError) as refused:
        VALIDATORS[habit["tool"]].values(habit["arguments"])
    error = refused.value
    assert not error.retryable
    if isinstance(habit["told"], str):
        assert (error.code, str(error)) == ("invalid_json", habit["told"])
    else:
        assert (error.code, str(error)) == ("invalid_arguments", REFUSED)
        assert {v["path"]: v["message"] for v in error.violations} == habit["told"]


def test_most_sentences_suffice_for_a_reader_who_has_not_seen_the_schema():
    assert len(HABITS) >= 111
    assert sum(habit["suffices"] for habit in HABITS) >= max(105, 0.94 * len(HABITS))


def test_a_refusal_does_not_contradict_its_retryable_flag():
    assert "the same call would be refused again" in REFUSED
    assert "call the tool with the corrected arguments" in REFUSED


@pytest.mark.parametrize("schema", [{}, {"type": "object", "properties": {}}])
@pytest.mark.parametrize("text", ["", " ", "null", "{}", "\ufeff{}"])
def test_no_arguments_are_an_empty_object_however_they_are_written(schema, text):
    assert Validator(schema).values(text) == {}
