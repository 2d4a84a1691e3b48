"""A worker compiles the validators of all tools before it forks, so that children share them."""

import gc
from types import SimpleNamespace

from celery.signals import worker_before_create_process

from db.catalog import Catalog, Tool
from tasks import resources

TOOL = Tool(
    name="find",
    description="",
    parameters={"type": "object", "properties": {}, "additionalProperties": False},
    statement="SELECT 1 AS one",
    no_rows_message=None,
    timeout_ms=5000,
    max_rows=3,
    max_bytes=65536,
    database="default",
    examples=(),
)


def test_the_validators_of_all_tools_are_compiled_before_the_fork_and_so_shared(monkeypatch):
    loaded = SimpleNamespace(current=lambda: Catalog({"find": TOOL}, "digest"))
    monkeypatch.setattr(resources.catalogs, "shared", lambda: loaded)
    try:
        worker_before_create_process.send(sender=None)
        assert "validator" in vars(TOOL)
    finally:
        gc.unfreeze()
