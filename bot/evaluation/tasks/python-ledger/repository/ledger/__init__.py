"""A small double-entry ledger. Amounts are whole cents."""

from ledger.accounts import Ledger, Unbalanced
from ledger.splitting import split

__all__ = ["Ledger", "Unbalanced", "split"]
