"""A log line is never worth a run."""

import io
import json

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
