"""Log lines are one JSON object each, and logging never fails a run."""

import io
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from runtime import logs

_ROOT = Path(__file__).resolve().parents[3]


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
        assert line["timestamp"].endswith("Z")


_WRITERS = """
import logging, threading
from runtime import logs

def write(log):
    for _ in range(100):
        log("a line", text="x" * 20_000)

logs.configure(as_json=True)
ours = logs.get("ours").info
theirs = lambda event, text: logging.getLogger("theirs").info(event, extra={"text": text})
threads = [threading.Thread(target=write, args=[log]) for log in [ours] * 7 + [theirs]]
for thread in threads:
    thread.start()
"""


def test_long_lines_of_several_threads_stay_whole_in_a_pipe():
    written = subprocess.run(
        [sys.executable, "-c", _WRITERS], cwd=_ROOT, capture_output=True, timeout=60, check=True
    )
    lines = map(json.loads, written.stderr.splitlines())
    assert [len(line["text"]) for line in lines] == [20_000] * 800
