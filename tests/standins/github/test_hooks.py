"""Webhook deliveries: signed, logged, sent once, sent again on request."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from bot.standins.github.hooks import headers_of
from tests.polling import until
from tests.standins.github.scene import SECRET, scene, served

pytestmark = pytest.mark.anyio


async def test_a_delivery_has_githubs_headers(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.github.deliver()
        (one,) = it.received
        app = it.app.app
        assert one.headers["user-agent"].startswith("GitHub-Hookshot/")
        assert one.headers["content-type"] == "application/json"
        assert one.headers["x-github-event"] == "issues"
        assert one.headers["x-github-delivery"] == it.github.deliveries[0].guid
        assert one.headers["x-github-hook-id"] == str(app.hook_id)
        assert one.headers["x-github-hook-installation-target-id"] == str(app.id)
        assert one.headers["x-github-hook-installation-target-type"] == "integration"
        sha1 = hmac.new(SECRET.encode(), one.body, hashlib.sha1).hexdigest()
        assert one.headers["x-hub-signature"] == f"sha1={sha1}"


async def test_the_signature_is_the_one_in_githubs_documentation(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        delivery = it.github.deliveries[0]
        delivery.payload = b"Hello, World!"
        expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        assert headers_of(delivery)["X-Hub-Signature-256"] == expected


async def test_a_redelivery_keeps_guid_and_bytes(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.github.deliver()
        id = (await it.as_app("GET", "/app/hook/deliveries")).json()[0]["id"]
        assert (await it.as_app("POST", f"/app/hook/deliveries/{id}/attempts")).status_code == 202
        await it.github.deliver()
        first, second = it.received
        assert first == second
        rows = (await it.as_app("GET", "/app/hook/deliveries")).json()
        assert [row["redelivery"] for row in rows] == [True, False]


async def test_a_failed_delivery_is_logged_and_never_repeated_by_itself(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.github.deliver()
        (row,) = (await it.as_app("GET", "/app/hook/deliveries?status=failure")).json()
        assert (row["status"], row["status_code"]) == ("failed to connect to host", 502)
        assert (await it.as_app("GET", "/app/hook/deliveries?status=success")).json() == []


async def test_a_slow_receiver_times_out(tmp_path: Path) -> None:
    listening = []

    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening.append(writer)
        while await reader.read(65_536):
            pass
        writer.close()
        await writer.wait_closed()
        listening.remove(writer)

    server = await asyncio.start_server(dawdle, "127.0.0.1", 0)
    async with scene(tmp_path) as it, server:
        assert it.github.world.hook_timeout_s == 10
        it.github.world.hook_timeout_s = 0.05
        port = server.sockets[0].getsockname()[1]
        it.app.app.webhook_url = f"http://127.0.0.1:{port}/"
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.github.deliver()
        assert (it.github.deliveries[0].status, it.github.deliveries[0].status_code) == ("timed out", 504)
        await until(lambda: not listening)


async def test_the_log_comes_in_pages_newest_first_and_forgets_after_three_days(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        for number in range(5):
            it.github.open_issue(it.repo, "mona", f"Issue {number}")
        await it.github.deliver()
        seen, where = [], "/app/hook/deliveries?per_page=2"
        while where:
            said = await it.as_app("GET", where)
            seen += [one["id"] for one in said.json()]
            where = said.links["next"]["url"].removeprefix(it.url) if "next" in said.links else ""
        assert seen == sorted((one.id for one in it.github.deliveries), reverse=True)
        it.clock.at += 3 * 86_400 + 1
        assert (await it.as_app("GET", "/app/hook/deliveries")).json() == []
        assert (await it.as_app("POST", f"/app/hook/deliveries/{seen[0]}/attempts")).status_code == 404


async def test_the_apps_own_comments_come_back_as_events(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.ask("POST", "issues/1/comments", {"body": "Working on it"})
        last = json.loads(it.github.deliveries[-1].payload)
        assert last["sender"]["type"] == "Bot"
        assert last["comment"]["performed_via_github_app"]["id"] == it.app.app.id


async def test_check_run_events_go_to_their_own_app_only(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        other = it.github.create_app("other", webhook_url="http://127.0.0.1:9/", webhook_secret="s" * 20, key=it.key)
        it.github.install(other.app, "octo")
        made = (await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": it.head})).json()
        it.github.press(it.repo, made["id"], "mona", "retry")
        assert {one.app.slug for one in it.github.deliveries} == {"tiny-backspace"}
        assert json.loads(it.github.deliveries[-1].payload)["requested_action"] == {"identifier": "retry"}
