"""`backspace serve --worker-only` with a port for its health: what it answers there, and what it keeps to itself."""

from pathlib import Path

import httpx
import pytest

from tests.faults.bot_process import WITHIN_S, github, serving

pytestmark = pytest.mark.anyio

TOKEN = "operator-" + "9f1c7be2d04a8836aa51c7e09b2f64d3"


async def test_a_worker_without_the_door_answers_for_its_health_where_it_is_told_to(tmp_path: Path) -> None:
    """Red when the worker does not read the operator's token: its numbers are everybody's (seen)."""
    async with github(tmp_path) as host:
        settings = {"HEALTH_PORT": host.settings["PORT"], "BACKSPACE_OPERATOR_TOKEN": TOKEN}
        async with (
            serving(host, tmp_path, settings=settings, flags=["--worker-only"]) as bot,
            httpx.AsyncClient(base_url=bot.url, timeout=WITHIN_S) as client,
        ):
            assert (await client.get("/healthz")).status_code == 200
            parts = (await client.get("/readyz")).json()["parts"]
            assert {"database", "queue", "runner", "github", "sandbox"} <= parts.keys()
            assert (await client.get("/metrics")).status_code == 404
            numbers = await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert "backspace_database_up 1" in numbers.text
            assert (await client.post("/webhook", content=b"{}")).status_code == 404
