"""`toolworker flower`: what Flower is started with."""

import pytest

from ops.commands import flower
from tasks import app


@pytest.fixture
def options(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("FLOWER_PASSWORD", "planted")
    started = []
    monkeypatch.setattr(app, "start", started.extend)

    def options(database):
        flower.serve(address="127.0.0.1", port=0, database=database)
        return started

    return options


def test_flower_keeps_what_it_has_seen_in_a_file_that_was_named(options, tmp_path):
    assert options(tmp_path / "seen")[-2:] == ["--persistent=true", f"--db={tmp_path / 'seen'}"]


def test_flower_reads_no_file_that_nobody_named(options):
    assert not [option for option in options(None) if option.startswith(("--db", "--persistent"))]
