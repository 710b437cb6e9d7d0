"""The databases of the store's tests, for whole processes."""

from tests.stores.conftest import database_url, postgres, sqlite_url

__all__ = ["database_url", "postgres", "sqlite_url"]
