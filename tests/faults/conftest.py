"""The database of the store's tests, for several runners."""

from tests.stores.conftest import sqlite_url

__all__ = ["sqlite_url"]
