"""The SQL of docs/tools.md makes a role that reads what it was granted, and writes nothing."""

import re
from pathlib import Path

import psycopg
import pytest

from db.lint import live

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "tools.md"
_SECTION = _PAGE.read_text().partition("## The role that queries\n")[2].partition("\n## ")[0]
(_SQL,) = re.findall(r"```sql\n(.*?)```", _SECTION, re.DOTALL)
_TABLES = """
CREATE TABLE inventory (sku text);
CREATE TABLE orders (id int);
CREATE TABLE salaries (amount int);
INSERT INTO inventory VALUES ('AB-1001');
"""


@pytest.fixture(scope="module")
def reader(postgres_server):
    """The URL of the role, in a database of its own."""
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE shop")
    shop = postgres_server.url.rpartition("/")[0] + "/shop"
    with psycopg.connect(shop) as admin:
        admin.execute(_TABLES)
        admin.execute(_SQL)
    yield shop.replace("postgres@", "shop_reader:change-me@", 1)
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("DROP DATABASE shop WITH (FORCE)")
        admin.execute("DROP ROLE shop_reader")


def test_the_role_reads_the_tables_that_it_was_granted(reader):
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT sku FROM inventory").fetchall() == [("AB-1001",)]
        assert connection.execute("SELECT id FROM orders").fetchall() == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT amount FROM salaries",
        "INSERT INTO inventory VALUES ('x')",
        "UPDATE inventory SET sku = 'x'",
        "DELETE FROM inventory",
        "TRUNCATE inventory",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "DROP TABLE inventory",
        "CREATE ROLE another",
    ],
)
def test_the_role_writes_nothing_even_in_a_transaction_that_may_write(reader, statement):
    # anyone may switch read-only off again: it is the missing rights that hold
    with psycopg.connect(reader) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_its_transactions_are_read_only_by_default(reader):
    with psycopg.connect(reader) as connection:
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)


def test_the_check_finds_nothing_wrong_with_the_role(reader):
    assert list(live.examine(reader, "default", [])) == []


def test_a_role_that_could_write_is_led_to_these_lines(postgres_server):
    (finding,) = live.examine(postgres_server.url, "default", [])
    assert finding.mistake.message.endswith("a role that may only SELECT (docs/tools.md)")
