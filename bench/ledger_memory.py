"""Benchmark of the ledger's memory for a finished run: `python -m bench.ledger_memory [RUNS]`."""

import json
import sys
import tempfile
from pathlib import Path

import redis

from ledger import Ledger, connect
from ops.dev.embedded import start_redis

CALLS = 3
ARGUMENTS = json.dumps({"sku": "AB-1001", "warehouse": "US-WEST"})
OUTPUT = json.dumps({"items": [{"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"}] * 20})


def main() -> None:
    """Take runs of three calls through every step, and print bytes a run at each tenth."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with (
        tempfile.TemporaryDirectory() as folder,
        start_redis(Path(folder), extra=["--appendonly", "no"]) as server,
    ):
        client = connect(server.url, timeout_s=5, retries=0)
        ledger = Ledger(
            client,
            answer_by_s=30,
            expires_s=600,
            retention_s=86_400,
            dead_letter_retention_s=604_800,
        )
        empty = _used(client)
        for number in range(1, runs + 1):
            _finish_one(ledger, f"8f14e45f-ceea-467f-9f6c-{number:012d}")
            if number % max(1, runs // 10) == 0:
                used = _used(client) - empty
                print(
                    f"{number:>8} finished runs  {used / 1e6:8.1f} MB  {used / number:6.0f} B each"
                )


def _finish_one(ledger: Ledger, run_id: str) -> None:
    calls = [
        {"id": f"call_{i:024d}", "type": "function",
         "function": {"name": "search_inventory", "arguments": ARGUMENTS}}
        for i in range(CALLS)
    ]  # fmt: skip
    key = ledger.accept(run_id, calls).key  # type: ignore[arg-type]
    ledger.begin(key, 0)
    for index in range(CALLS):
        ledger.start(key, 0, index, message="bench")
        ledger.record(key, 0, index, OUTPUT, owner="bench", code="ok", query_ms=3)
    ledger.claim(key, 0, OUTPUT.encode() * CALLS, seen=CALLS, owner="bench")
    receipt = {"status": 200, "correlation_id": "0f0c1a3e-9d5b-4a7c-8a55-000000000000"}
    ledger.finish(key, 0, {**receipt, "took_ms": 12})


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])  # type: ignore[index]


if __name__ == "__main__":
    main()
