"""A recorded payload is posted as GitHub would post it."""

from pathlib import Path

import httpx
import pytest

from bot.replay import replay
from bot.standins.serving import serve
from bot.stores import open_store
from bot.web.app import create_app
from tests.payloads.samples import SECRET, body_of, mention

pytestmark = pytest.mark.anyio


async def test_a_replay_finds_the_job_its_first_delivery_made(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    body = body_of(mention())
    async with serve(create_app(store=store, webhook_secrets=[SECRET])) as url:
        answers = [
            await replay(body, event="issue_comment", url=f"{url}/webhook", secret=SECRET, delivery_id=guid)
            for guid in ("1-1", "2-2")
        ]
        refused = await replay(body, event="issue_comment", url=f"{url}/webhook", secret="wrong", delivery_id="3-3")
    await store.close()
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert refused.status_code == 401


async def test_nobody_listening_is_said_so() -> None:
    with pytest.raises(httpx.ConnectError):
        await replay(b"{}", event="ping", url="http://127.0.0.1:9/webhook", secret=SECRET, delivery_id="1-1")
