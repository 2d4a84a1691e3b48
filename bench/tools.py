"""
Benchmark of `tools check` for 100 tools, and of validating a valid and an invalid call.

    python -m bench.tools

Exits with 1 when a figure is missed. In each of 7 turns everything is measured once: the shortest
check counts, since what else runs on the machine only adds to it, and the median CPU time of calls.
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
            shipped = catalog.load(ROOT / "tools")
            turns = [_turn(shipped, folder / "tools", url) for _ in range(TURNS)]
    checks_s, goods_us, bads_us = zip(*turns, strict=True)
    check_s, good_us, bad_us = (
        min(checks_s),
        statistics.median(goods_us),
        statistics.median(bads_us),
    )
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


def _turn(shipped: catalog.Catalog, folder: Path, url: str) -> tuple[float, float, float]:
    """Seconds of a check, microseconds of a valid and of an invalid call."""
    began = time.perf_counter()
    _check(folder, url)
    check_s = time.perf_counter() - began
    good_us = _cpu_us(lambda: shipped.validate("search_inventory", GOOD), CALLS)
    return check_s, good_us, _cpu_us(lambda: _refused(shipped), CALLS // 10)


def _cpu_us(measured: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        measured()
    return (time.process_time() - began) / times * 1e6


if __name__ == "__main__":
    sys.exit(main())
