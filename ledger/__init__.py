"""The ledger: what is known of each run, in Redis."""

from ledger.ledger import Ledger, from_settings, key_of
from ledger.scripts import connect

__all__ = ["Ledger", "connect", "from_settings", "key_of"]
