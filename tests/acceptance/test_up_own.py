"""`toolworker up` serves the user's own tools and database, as the environment names them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
TOOL = {
    "name": "count_orders",
    "description": "How many orders there are.",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}


def _up(tmp_path, **env):
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "up", "--folder", str(tmp_path / "stack")],
        cwd=ROOT,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_ones_own_tools_and_database_are_served(tmp_path, reader_url):
    folder = tmp_path / "tools/count_orders"
    folder.mkdir(parents=True)
    (folder / "tool.json").write_text(json.dumps(TOOL))
    (folder / "query.sql").write_text("SELECT 7 + count(*) * 0 AS orders FROM orders")
    (folder / "examples.json").write_text(
        '[{"arguments": {}, "output": {"items": [{"orders": 7}], "total": 1}}]'
    )
    running = _up(tmp_path, TOOLS_DIR=str(tmp_path / "tools"), DATABASE_URL=reader_url)
    try:
        lines = []
        for line in running.stdout:
            lines.append(line.strip())
            if line.startswith("Ctrl-C"):
                break
        assert (
            f"serving your tools in {tmp_path}/tools (TOOLS_DIR), from your DATABASE_URL"
            " (unset it for a Postgres with the demo's data)" in lines
        )
        assert not any(line.startswith("postgres ") for line in lines)
        (export,) = [line for line in lines if line.startswith("export ")]
        assert f"TOOLS_DIR={tmp_path}/tools" in export
        assert "count_orders" in next(line for line in lines if line.startswith("curl -i"))
        curl = next(line for line in lines if line.startswith("curl -i"))
        done = subprocess.run(["/bin/sh", "-c", curl], capture_output=True, text=True, check=True)
        assert " 202 " in done.stdout.splitlines()[0]
        seen = next(line for line in lines if line.endswith("/_sim/submissions")).split()[-1]
        deadline = time.monotonic() + 60
        while not (submissions := requests.get(seen, timeout=30).json()):
            assert time.monotonic() < deadline, "nothing was submitted"
        assert r"{\"items\":[{\"orders\":7}],\"total\":1}" in json.dumps(submissions)
        address = next(line for line in running.stdout if line.startswith("see the runs: "))
        dashboard, password = address.split()[3], address.split("password ")[1].partition(";")[0]
        page = requests.get(f"{dashboard}/runs", auth=("operator", password), timeout=60)
        assert "own-run-1" in page.text
    finally:
        os.killpg(running.pid, signal.SIGINT)
        running.wait(timeout=120)


def test_mistakes_of_ones_own_tools_stop_it_before_anything_starts(tmp_path):
    (tmp_path / "tools/broken").mkdir(parents=True)
    running = _up(tmp_path, TOOLS_DIR=str(tmp_path / "tools"))
    out, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "broken/tool.json:1: is missing" in out
    assert "Traceback" not in out
