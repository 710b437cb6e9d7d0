"""The workbench that most tests here start from."""

from pathlib import Path

import pytest

from tests.agent.bench import Bench, bench


@pytest.fixture
async def on(tmp_path: Path) -> Bench:
    return await bench(tmp_path)
