"""A query's result takes no more of a worker's memory than max_bytes and the largest row."""

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from db.errors import ToolError
from db.pool import Databases
from tests.proxy import Proxy
from tests.tool import TOOL as ONE_ROW

TOOL = replace(ONE_ROW, timeout_ms=20_000, max_rows=100, max_bytes=65_536)

_NAMES = ", ".join(f"NULL AS a{number:062}" for number in range(500))

# a process of its own, because a process' peak of memory never sinks
_CHILD = """
import json, resource, sys
from dataclasses import replace
from db import transaction
from db.catalog import Tool
from db.errors import ToolError
from db.pool import Databases

url, statement = sys.argv[1:]
transaction.HEARD_S = transaction._LEAST_HEARD_S = 30.0  # the machine may be busy
tool = Tool(name="ask", description="", parameters={}, statement="SELECT 1 AS one",
            no_rows_message=None, timeout_ms=20_000, max_rows=100, max_bytes=65_536,
            database="default", examples=())
databases = Databases({"default": url})
databases.open()
databases.query(tool, {}, timeout_ms=20_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    output = json.loads(databases.query(replace(tool, statement=statement), {}, timeout_ms=20_000))
    found = output["total"]
except ToolError as error:
    found = error.code
grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
databases.close()
print(json.dumps([found, grown_kb // 1024]))
"""


@pytest.fixture
def databases(patient_database, reader_url):
    # one connection, so that what a call leaves on it is met by the next
    found = Databases({"default": reader_url}, max_size=1)
    found.open()
    yield found
    found.close()


def _query(databases, sql, **changes):
    return json.loads(
        databases.query(replace(TOOL, statement=sql, **changes), {}, timeout_ms=20_000)
    )


@pytest.mark.parametrize(
    ("statement", "found", "at_most_mb"),
    [
        # 300 MB in all
        ("SELECT repeat('x', 3000000) AS x FROM generate_series(1, 101)", "too_large", 16),
        (
            "SELECT n, repeat('x', CASE n WHEN 1 THEN 10 ELSE 3000000 END) AS x "
            "FROM generate_series(1, 101) AS n",
            1,
            16,
        ),
        # libpq keeps a row whole, in a buffer of up to twice its size, before anybody can refuse it
        ("SELECT repeat('x', 12000000) AS x FROM generate_series(1, 101)", "too_large", 56),
        # 3 MB of names, of which Postgres sends nothing
        (f"SELECT {_NAMES} FROM generate_series(1, 101)", 1, 16),  # noqa: S608
        # 2 MB of JSON that takes thirty times as much in Python
        ("SELECT ('[' || repeat('[],', 700000) || '[]]')::json AS x", "too_large", 16),
    ],
)
def test_a_result_costs_no_more_memory_than_its_largest_row(
    reader_url, statement, found, at_most_mb
):
    command = [sys.executable, "-c", _CHILD, reader_url, statement]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    code, grown_mb = json.loads(output.stdout.splitlines()[-1])
    assert code == found
    assert grown_mb <= at_most_mb


def test_ten_thousand_small_rows_cost_little_more_than_their_bytes(reader_url):
    sql = "SELECT n FROM generate_series(1, 10000) AS n"
    child = _CHILD.replace("max_rows=100, max_bytes=65_536", "max_rows=10_000, max_bytes=400_000")
    command = [sys.executable, "-c", child, reader_url, sql]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    total, grown_mb = json.loads(output.stdout.splitlines()[-1])
    assert total == 10_000
    assert grown_mb <= 16


def test_rows_beyond_the_bytes_are_cut_and_the_next_call_is_answered(databases):
    sql = "SELECT n, repeat('x', 50000) AS x FROM generate_series(1, 100) AS n"
    for _ in range(3):
        output = _query(databases, sql)
        assert (output["total"], output["truncated"]) == (1, True)
    assert _query(databases, "SELECT 1 AS one") == {"items": [{"one": 1}], "total": 1}


def test_a_little_beyond_the_bytes_the_connection_is_kept(databases, postgres_server):
    pid = "SELECT pg_backend_pid() AS pid"
    before = _query(databases, pid)["items"]
    sql = "SELECT n, repeat('x', 5000) AS x FROM generate_series(1, 100) AS n"
    assert _query(databases, sql)["truncated"] is True
    assert _query(databases, pid)["items"] == before


def test_a_row_beyond_8_mb_ends_the_call_wherever_it_stands(databases):
    sql = """
        SELECT n, repeat('x', CASE n WHEN 3 THEN 9000000 ELSE 10 END) AS x
        FROM generate_series(1, 5) AS n
    """
    with pytest.raises(ToolError) as failed:
        _query(databases, sql)
    assert failed.value.code == "too_large"
    assert _query(databases, "SELECT 1 AS one")["total"] == 1


def test_white_space_in_json_does_not_count(databases):
    sql = "SELECT ('[' || repeat(' ', 100000) || '1]')::json AS x"
    assert _query(databases, sql)["items"] == [{"x": [1]}]


_LAST = rb"ROLLBACK.*S\0\0\0\x04\Z"
"""The last message of a call, with its Sync."""


@pytest.mark.parametrize(
    "sql", ["SELECT 1 AS one", "SELECT n FROM generate_series(1, 500) AS n", "SELECT 1 / 0 AS n"]
)
def test_a_small_result_and_an_error_take_one_round_trip(patient_database, reader_url, sql):
    url = urlsplit(reader_url)
    proxy = Proxy(url.hostname, url.port)
    databases = Databases({"default": reader_url.replace(f":{url.port}", f":{proxy.port}")})
    databases.open()
    _query(databases, "SELECT 1 AS one")
    # the server's first words may be there before the last of ours: they are kept until all is said
    proxy.hold(until=_LAST)
    with suppress(ToolError):
        _query(databases, sql)
    assert proxy.turns == ["client", "server"]
    databases.close()
    proxy.close()
