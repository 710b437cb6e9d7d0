"""Fresh databases of both kinds, and stores on them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bot.stores import QueueLimits, Store, open_store
from tests.stores.postgres import Postgres

Open = Callable[..., Awaitable[Store]]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/backspace.db"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        return url
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_schema()


@pytest.fixture
async def opened(anyio_backend: str) -> AsyncIterator[Open]:
    """Opens stores and closes them at the end."""
    async with AsyncExitStack() as stack:

        async def open_one(url: str, **limits: Any) -> Store:
            store = await open_store(url, limits=QueueLimits(**limits))
            stack.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def store(opened: Open, database_url: str) -> Store:
    return await opened(database_url)
