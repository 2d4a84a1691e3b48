"""A log line is never worth a run."""

import io
import json
import logging
from datetime import UTC, datetime

import pytest
import structlog

from runtime import logs


@pytest.fixture(autouse=True)
def restored():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_line_is_one_json_object_with_its_ids(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(as_json=True)
    logs.get("a").info("call.recorded", run_id="r", took_ms=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["run_id"], line["took_ms"]) == ("call.recorded", "r", 3)
    assert line["level"] == "info"


def test_a_line_that_cannot_be_written_fails_nothing(monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(as_json=True)
    logs.get("a").info("call.recorded", run_id="r")


def test_a_line_of_another_librarys_logger_has_the_same_fields(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(as_json=True)
    logs.begin(run_id="r")
    try:
        raise KeyError("k")
    except KeyError:
        logs.get("a").exception("ours", text="é\x9b\ud800")
        logging.getLogger("b").exception("theirs", extra={"count": 1})
    logs.begin()
    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert stream.getvalue().isascii()  # no byte that a terminal would obey
    assert set(ours) - {"text"} == set(theirs) - {"count"}
    for line in (ours, theirs):
        assert (line["level"], line["run_id"]) == ("error", "r")
        assert line["exception"].endswith("KeyError: 'k'")
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is UTC
