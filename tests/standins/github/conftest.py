"""The scene that most tests here start from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.standins.github.scene import Scene, scene


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made
