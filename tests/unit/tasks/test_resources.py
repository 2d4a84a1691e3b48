"""A worker compiles the validators of all tools before it forks, so that children share them."""

import gc
from dataclasses import replace
from types import SimpleNamespace

from celery.signals import worker_before_create_process

from db.catalog import Catalog
from tasks import resources
from tests.tool import TOOL as ANY

PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}
TOOL = replace(ANY, name="find", parameters=PARAMETERS)


def test_the_validators_of_all_tools_are_compiled_before_the_fork_and_so_shared(monkeypatch):
    loaded = SimpleNamespace(current=lambda: Catalog({"find": TOOL}, "digest"))
    monkeypatch.setattr(resources.catalogs, "shared", lambda: loaded)
    try:
        worker_before_create_process.send(sender=None)
        assert "validator" in vars(TOOL)
    finally:
        gc.unfreeze()
