"""A recorded payload is posted as GitHub would post it."""

from pathlib import Path

import pytest

from bot.commands.replay import recorded, replay
from bot.domain.errors import UserError
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


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("http://127.0.0.1:9/webhook", "Nobody answers at http://127.0.0.1:9/webhook", id="nobody-listens"),
        pytest.param("nonsense", "nonsense is not an http(s) address", id="no-address"),
        pytest.param("ftp://example/webhook", "ftp://example/webhook is not an http(s) address", id="another-protocol"),
        pytest.param("http://[bad/webhook", "Nobody answers at http://[bad/webhook", id="broken-host"),
        pytest.param("http://127.0.0.1:x/", "http://127.0.0.1:x/ is not an http(s) address", id="broken-port"),
        pytest.param("http:///webhook", "http:///webhook is not an http(s) address", id="no-host"),
    ],
)
async def test_an_address_that_does_not_answer_is_one_sentence(url: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        await replay(b"{}", event="ping", url=url, secret=SECRET, delivery_id="1-1")
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("event", ["", "Issue Comment", "ping\r\nX-Evil: 1", "p\u00efng"])
async def test_what_is_no_event_is_said_so(event: str) -> None:
    with pytest.raises(UserError, match="is not the name of an event"):
        await replay(b"{}", event=event, url="http://127.0.0.1:9/", secret=SECRET, delivery_id="1-1")


def test_a_payload_that_cannot_be_read_or_is_not_json_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text("not json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name in ("words.json", "deep.json", "bytes.json"):
        with pytest.raises(UserError, match=f"{name} is not JSON"):
            recorded(tmp_path / name)
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        recorded(tmp_path / "gone.json")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        recorded(tmp_path)
