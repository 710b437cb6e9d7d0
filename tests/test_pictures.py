"""A picture in an issue, from GitHub to the model's first request, through both SDKs' renderers."""

import base64
from pathlib import Path

import pytest

from bot.agent.spending import TOKENS_A_PICTURE, most_tokens
from bot.domain.conversation import Conversation, Picture, Text, UserTurn
from bot.models import chat_render, render
from bot.standins.github import Reply
from tests.repositories import PYTHON, python_bug
from tests.test_journey import assert_published, bot, finished

pytestmark = pytest.mark.anyio

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TALK = Conversation("s", (), (UserTurn((Text("look"),), pictures=(Picture("image/png", "QUJD"),)),))


async def test_the_model_sees_the_picture_of_a_writers_issue(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.github.set_role(stage.repository, "mallory", "read")
        seen, unseen = stage.github.attach(PNG), stage.github.attach(PNG)
        first = stage.github.open_issue(stage.repository, "alice", "It is broken", f"See\n\n![shot]({seen})").number
        stage.github.comment(stage.repository, first, "alice", PYTHON.request)
        await finished(stage, first)
        assert_published(stage, PYTHON)
        content = messages.requests[0]["messages"][0]["content"]
        data = base64.b64encode(PNG).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        assert [block["source"] for block in content if block["type"] == "image"] == [source]
        assert all(data in str(request["messages"][0]) for request in messages.requests), "history never changes"
        (row,) = await stage.jobs(first)
        assert "The model sees a picture of the thread." in str(await stage.store.events(row.job.id))
        asked = len(messages.requests)
        second = stage.github.open_issue(stage.repository, "mallory", "Look", f"![shot]({unseen})").number
        stage.github.comment(stage.repository, second, "alice", PYTHON.request)
        await finished(stage, second)
        assert data not in str(messages.requests[asked:]), "nobody without write access shows the model a picture"


async def test_a_private_repositorys_picture_is_had_by_the_pass_that_github_gives(tmp_path: Path) -> None:
    """Of the address in the signed request; what the page shows by now beside it is not looked at."""
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.repository.private = True
        asked, other = stage.github.attach(PNG, private=True), stage.github.attach(PNG + b"other", private=True)
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "No picture yet.")
        stage.github.comment(stage.repository, issue.number, "alice", f"{PYTHON.request}\n\n![shot]({asked})")
        issue.body = f"![put in later]({other})"
        await finished(stage, issue.number)
        assert_published(stage, PYTHON)
        content = messages.requests[0]["messages"][0]["content"]
        data = base64.b64encode(PNG).decode()
        assert [block["source"]["data"] for block in content if block["type"] == "image"] == [data]


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
async def test_the_model_sees_the_pictures_in_the_comments_of_people_who_may_write(
    tmp_path: Path, private: bool
) -> None:
    """The newest ones, after the request's; of an outsider's comment none. Red when that one's access is not looked
    at: seen."""
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.repository.private = private
        stage.github.set_role(stage.repository, "mallory", "read")
        contents = [PNG + bytes([number]) for number in range(5)]
        addresses = [stage.github.attach(content, private=private) for content in contents]
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "").number
        for login, address in zip(["alice", "alice", "mallory", "alice"], addresses, strict=False):
            stage.github.comment(stage.repository, issue, login, f"See\n\n![shot]({address})")
        stage.github.comment(stage.repository, issue, "alice", f"{PYTHON.request}\n\n![shot]({addresses[4]})")
        await finished(stage, issue)
        assert_published(stage, PYTHON)
        content = messages.requests[0]["messages"][0]["content"]
        expected = [base64.b64encode(contents[number]).decode() for number in (4, 3, 1)]
        assert [block["source"]["data"] for block in content if block["type"] == "image"] == expected
        (row,) = await stage.jobs(issue)
        told = str(await stage.store.events(row.job.id))
        assert "The model sees 3 pictures of the thread." in told
        assert "A picture was left out: it is one more than the 3 that are read." in told


async def test_without_the_pass_the_work_is_done_all_the_same(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.repository.private = True
        stage.github.faults.add(Reply(404), method="GET", path=r".*/issues/comments/\d+$", times=9)
        asked = stage.github.attach(PNG, private=True)
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "").number
        stage.github.comment(stage.repository, issue, "alice", f"{PYTHON.request}\n\n![shot]({asked})")
        await finished(stage, issue)
        assert_published(stage, PYTHON)
        assert "'image'" not in str(messages.requests)
        (row,) = await stage.jobs(issue)
        told = "A picture was left out: it could not be had without signing in."
        assert told in str(await stage.store.events(row.job.id))


def test_a_picture_is_the_last_block_where_a_model_reads_such() -> None:
    (message,) = render.render(TALK, model="m", max_tokens=9)["messages"]
    assert [block["type"] for block in message["content"]] == ["text", "image"]
    (message,) = chat_render.render(TALK, model="m", max_tokens=9)["messages"][1:]
    assert message["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}


def test_where_a_model_reads_no_pictures_that_is_said() -> None:
    told = "[a picture was here; this model reads none]"
    (message,) = render.render(TALK, model="m", max_tokens=9, abilities=())["messages"]
    assert [block["text"] for block in message["content"]] == ["look", told]
    messages = chat_render.render(TALK, model="m", max_tokens=9, abilities=())["messages"]
    assert messages[-1] == {"role": "user", "content": f"look\n\n{told}"}


def test_a_pictures_cost_is_not_that_of_its_bytes() -> None:
    large = Conversation("", (), (UserTurn((), pictures=(Picture("image/png", "x" * 1_000_000),)),))
    assert TOKENS_A_PICTURE <= most_tokens(large, last_prompt=0) <= TOKENS_A_PICTURE + 10
