"""The promises of the unit tests, on a real server, whose Lua and clock are what counts."""

from tests.unit.ledger.test_ledger import *  # noqa: F403
