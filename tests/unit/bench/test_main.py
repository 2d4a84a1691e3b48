"""`python -m bench`: exit status, and the results that are written before it."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from bench import __main__ as program

_SILENCE = "silence: one of 6 calls hangs for 5 s, the others are recorded later by"


@pytest.mark.parametrize(
    ("worst_ms", "status", "errors"),
    [(100.0, 0, []), (100.1, 1, [f"Error: missed targets: {_SILENCE}"])],
)
def test_a_missed_target_is_named_and_the_exit_status_is_1_once_the_results_are_written(
    monkeypatch, tmp_path, worst_ms, status, errors
):
    found = {"6": {"worst_ms": worst_ms}}
    postgres = SimpleNamespace(url="postgresql://unused")
    bench = SimpleNamespace(silence=lambda: found)
    monkeypatch.setattr(program, "MEASURES", ("silence",))
    monkeypatch.setattr(program, "Bench", lambda *given, **named: bench)
    monkeypatch.setattr(program, "start_postgres", lambda folder: nullcontext(postgres))
    monkeypatch.setattr(program.demo_data, "load", lambda url: None)
    monkeypatch.setattr(program.machine, "describe", dict)
    monkeypatch.setattr(program.report, "write", lambda *given: None)
    monkeypatch.setattr(program, "RESULTS", tmp_path / "results" / "latest.json")
    ended = CliRunner().invoke(program.main)
    assert (ended.exit_code, ended.stderr.splitlines()[1:]) == (status, errors)
    assert json.loads(program.RESULTS.read_text())["silence"] == found
