"""Helper: a tool of one statement, for tests that query without a tool folder."""

from db.catalog import Tool

TOOL = Tool(
    name="ask",
    description="",
    parameters={},
    statement="SELECT 1 AS one",
    no_rows_message=None,
    timeout_ms=5000,
    max_rows=3,
    max_bytes=65536,
    database="default",
    examples=(),
)
