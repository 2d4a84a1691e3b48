"""A worker's first log lines are JSON, and its metrics leave no file behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def test_a_workers_first_lines_are_json_and_its_metrics_leave_no_file(free_port, tmp_path):
    variables = {
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "DATABASE_URL": "postgresql://h/d",
        "GENESYS_REGION": "mypurecloud.com",
        "GENESYS_CLIENT_ID": "id",
        "GENESYS_CLIENT_SECRET": "planted",
        "METRICS_PORT": str(free_port()),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "celery", "-q", "-A", "tasks", "worker", "-c", "1"],
        cwd=_ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as worker:
        try:
            seen = []
            while "Cannot connect to redis" not in (line := worker.stdout.readline()):
                seen.append(json.loads(line))
            assert "worker.started" in [line["event"] for line in seen]
            assert all({"event", "level", "timestamp"} <= set(line) for line in seen)
            assert len(list(tmp_path.glob("toolworker-metrics-*"))) == 1
            worker.terminate()
            worker.communicate(timeout=120)
        finally:
            worker.kill()
    assert list(tmp_path.glob("toolworker-*")) == []
