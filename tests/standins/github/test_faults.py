"""Faults on request, the request log, and the connections it counts."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from bot.standins.github import Delay, DropReply, DropRequest, Reply
from tests.standins.github.scene import served

pytestmark = pytest.mark.anyio


async def test_a_lost_answer_leaves_its_effect(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token()
        it.github.faults.add(DropReply(), method="POST", path=r"/issues/\d+/comments$")
        with pytest.raises(httpx.RemoteProtocolError):
            await it.ask("POST", "issues/1/comments", {"body": "once"}, token=token)
        assert [one.body for one in it.github.comments(it.repo, 1)] == ["once"]
        again = await it.ask("POST", "issues/1/comments", {"body": "twice"}, token=token)
        assert again.status_code == 201


async def test_a_lost_request_and_an_error_have_no_effect(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token()
        it.github.faults.add(DropRequest(), path="comments")
        it.github.faults.add(Reply(502), path="comments", times=2)
        it.github.faults.add(Reply(403, {"Retry-After": "60"}, {"message": "secondary rate limit"}), path="comments")
        with pytest.raises(httpx.RemoteProtocolError):
            await it.ask("POST", "issues/1/comments", {"body": "hi"}, token=token)
        said = [await it.ask("POST", "issues/1/comments", {"body": "hi"}, token=token) for _ in range(4)]
        assert [one.status_code for one in said] == [502, 502, 403, 201]
        assert (said[2].headers["retry-after"], said[2].json()["message"]) == ("60", "secondary rate limit")
        assert len(it.github.comments(it.repo, 1)) == 1


async def test_delays(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        token = await it.token()
        it.github.faults.add(Delay(0.1), path="/git/ref/")
        it.github.faults.delay_all_ms = 50
        started = time.monotonic()
        assert (await it.ask("GET", "git/ref/heads/main", token=token)).status_code == 200
        assert time.monotonic() - started >= 0.15


async def test_requests_are_logged_and_connections_counted(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        token = await it.token()
        it.github.faults.delay_all_ms = 30
        await asyncio.gather(*(it.ask("GET", "", token=token) for _ in range(3)))
        rows = it.github.requests
        assert (rows[0].method, rows[0].token_kind, rows[0].status) == ("POST", "app", 201)
        assert {(one.path, one.token_kind, one.status) for one in rows[1:]} == {
            ("/repos/octo/tool", "installation", 200)
        }
        assert it.github.most_connections == 3
