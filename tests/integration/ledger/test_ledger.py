"""The ledger's unit tests once more, on a real Redis with its own Lua and clock."""

from tests.unit.ledger.test_ledger import *  # noqa: F403
