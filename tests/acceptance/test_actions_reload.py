"""The data-action endpoint takes changed tools on SIGHUP; with a mistake it keeps those it has."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.endpoint import ROOT, running_endpoint

STOCK = {"sku": "AB-1001", "warehouse": "US-WEST"}


@pytest.fixture
def reloading(tmp_path, reader_url):
    """A running endpoint, and the folder of its tools."""
    tools = tmp_path / "tools"
    shutil.copytree(ROOT / "tools", tools)
    with running_endpoint(tmp_path / "endpoint", reader_url, tools) as endpoint:
        yield endpoint, tools


def _reload(endpoint, *, until):
    os.kill(endpoint.master.pid, signal.SIGHUP)
    _wait_for(lambda: until in endpoint.log())


def _wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _processes(endpoint):
    pid = endpoint.master.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_changed_tools_are_served_after_a_hangup_signal(reloading):
    endpoint, tools = reloading
    (tools / "search_inventory" / "query.sql").write_text(
        "SELECT %(sku)s AS sku, 7 AS quantity, %(warehouse)s::text AS status"
    )
    _reload(endpoint, until="catalog.reloaded")
    _wait_for(lambda: endpoint.call("search_inventory", STOCK)[1]["items"][0]["quantity"] == 7)


def test_with_a_mistake_a_new_process_has_the_tools_of_the_one_before(reloading):
    endpoint, tools = reloading
    before = endpoint.call("search_inventory", STOCK)
    (tools / "search_inventory" / "query.sql").write_text("SELECT 1 AS sku")
    (old,) = _processes(endpoint)
    _reload(endpoint, until="catalog.refused")
    (refused,) = [line for line in endpoint.log().splitlines() if "catalog.refused" in line]
    assert "search_inventory/tool.json:" in refused
    assert "cannot start" not in refused
    _wait_for(lambda: old not in _processes(endpoint))
    assert endpoint.call("search_inventory", STOCK) == before
