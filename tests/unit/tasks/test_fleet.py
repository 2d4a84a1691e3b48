"""Replies of workers to remote control; one that fails hides no other."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from tasks import fleet


@pytest.fixture
def replies(monkeypatch):
    """The replies of workers, to be changed by the test."""
    found = []
    control = SimpleNamespace(broadcast=lambda *_, **__: found)
    monkeypatch.setattr(fleet, "app", SimpleNamespace(control=control))
    monkeypatch.setattr(fleet, "_connected", nullcontext)
    return found


def test_a_worker_that_fails_to_name_its_catalogue_leaves_the_others_named(replies):
    replies += [{"a": {"catalog": "6a4d", "version": "1"}}, {"b": {"error": "KeyError()"}}]
    assert fleet.catalogs() == {"a": "6a4d"}
