"""Helper: a tool whose calls wait for a lock that a test holds, so that none ends too early."""

import json

GATE = 777
"""The number of the lock."""


def write_gate(folder):
    """Add the tool `gate` to the tools in *folder*; it waits for 6 s at most, as `hold`."""
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    tool = {"name": "gate", "description": "Waits.", "parameters": parameters, "timeout_ms": 6_000}
    (folder / "gate").mkdir()
    (folder / "gate" / "tool.json").write_text(json.dumps(tool))
    statement = f"SELECT 'passed' AS state FROM pg_advisory_xact_lock_shared({GATE})"  # noqa: S608
    (folder / "gate" / "query.sql").write_text(statement)
    (folder / "gate" / "examples.json").write_text("[]")
