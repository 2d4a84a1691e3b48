"""
What checking and validating cost: 100 tools with the database, one valid and one invalid call,
and whether twice the arguments cost more than in proportion.

    python -m bench.tools

Exits with 1 when a figure is missed. Medians of 7 turns.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench import proportion
from db import catalog
from db.errors import ToolError
from db.lint import live
from ops.dev import demo_data
from ops.dev.embedded import start_postgres

ROOT = Path(__file__).resolve().parents[1]
TOOLS, CALLS, TURNS = 100, 2_000, 7
GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
BAD = '{"sku": "nonsense", "warehouse": "DECOMMISSIONED", "more": 1}'


def main() -> int:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(TOOLS):
            path = folder / "tools" / f"tool_{number}"
            shutil.copytree(ROOT / "tools/search_inventory", path)
            tool = json.loads((path / "tool.json").read_text())
            (path / "tool.json").write_text(json.dumps({**tool, "name": path.name}))
        with start_postgres(folder / "postgres") as postgres:
            demo_data.load(postgres.url)
            url = postgres.url.replace("postgres@", "toolworker_reader:reader@", 1)
            check_s = _median(lambda: _check(folder / "tools", url), 1)
    shipped = catalog.load(ROOT / "tools")
    good_us = _median(lambda: shipped.validate("search_inventory", GOOD), CALLS) * 1e6
    bad_us = _median(lambda: _refused(shipped), CALLS // 10) * 1e6
    print(f"check of {TOOLS} tools with the database   {check_s:8.2f} s   (must be under 3)")
    print(f"validation of a valid call           {good_us:8.1f} us  (at most 60)")
    print(f"validation of an invalid call        {bad_us:8.1f} us")
    print()
    is_in_proportion = proportion.main()
    return 0 if check_s < 3 and good_us <= 60 and is_in_proportion else 1


def _check(folder: Path, url: str) -> None:
    found = list(live.examine(url, "default", list(catalog.load(folder).tools.values())))
    assert not [finding for finding in found if not finding.is_warning], found


def _refused(shipped: catalog.Catalog) -> None:
    with suppress(ToolError):
        shipped.validate("search_inventory", BAD)


def _median(measured: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(TURNS):
        began = time.perf_counter()
        for _ in range(times):
            measured()
        taken.append((time.perf_counter() - began) / times)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
