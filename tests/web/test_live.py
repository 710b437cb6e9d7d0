"""The live page and its stream over real HTTP, on the real store: the capability, the headers, the frames."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette

from bot.domain.errors import ProviderError
from bot.domain.events import JobEvent, JobFinished, Noted
from bot.domain.job import Issue, Person, Start
from bot.ports import Claim, JobRow, JobStore
from bot.standins.serving import serve
from bot.stores import open_store
from bot.web.feeds import Feeds
from bot.web.live import routes
from bot.web.page import diff_files, items
from tests.polling import until
from tests.report.samples import DIFF, FINISHED, WATCH_KEY, finished, job, log, running

pytestmark = pytest.mark.anyio
PAGE = f"/jobs/k7f3?t={WATCH_KEY}"
EVENTS = f"/jobs/k7f3/events?t={WATCH_KEY}"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    opened = await open_store(f"sqlite:///{tmp_path}/backspace.db")
    yield opened
    await opened.close()


@pytest.fixture
async def web(store: JobStore) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(Starlette(routes=list(routes(store, heartbeat_s=0.1)))) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        yield client


async def started(store: JobStore, events: Sequence[JobEvent], **facts: Any) -> Claim:
    """A claimed job with these events; the store itself records the first, JobQueued."""
    made = job(**facts)
    await store.accept(guid=made.delivery, event="issue_comment", action="created", job=made)
    claim = await store.claim("worker", job_id=made.id)
    assert claim is not None
    over = events and isinstance(events[-1], JobFinished)
    await store.commit(claim, events=events, finish="succeeded" if over else None)
    return claim


async def frames(response: httpx.Response, *, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            found.append(json.loads(line[6:]))
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/jobs/k7f3", id="no-key"),
        pytest.param("/jobs/k7f3?t=", id="empty-key"),
        pytest.param("/jobs/k7f3?t=" + "w" * 42, id="short-key"),
        pytest.param("/jobs/k7f3?t=" + "w" * 44, id="long-key"),
        pytest.param("/jobs/k7f3?t=%E9%FF", id="not-utf-8"),
        pytest.param(f"/jobs/k7f3?t={WATCH_KEY}&t={WATCH_KEY}", id="two-keys"),
        pytest.param(f"/jobs/k7f4?t={WATCH_KEY}", id="unknown-job"),
        pytest.param(f"/jobs/K7F3%00?t={WATCH_KEY}", id="nul"),
        pytest.param(f"/jobs/%F0%9F%92%A9?t={WATCH_KEY}", id="emoji"),
        pytest.param(f"/jobs/{'k' * 500}?t={WATCH_KEY}", id="long-id"),
        pytest.param("/jobs/k7f4?t=" + "0" * 43, id="the-key-nobody-has"),
        pytest.param("/jobs/%27%20or%201=1--?t=x", id="sql"),
    ],
)
async def test_unknown_and_forbidden_look_the_same(store: JobStore, web: httpx.AsyncClient, path: str) -> None:
    """S30; red when `_opened` answers the row whatever the key is (tried)."""
    await started(store, running())
    page, _, query = path.partition("?")
    unknown = await web.get("/jobs/aaaa?t=x")
    for address in (path, f"{page}/events?{query}"):
        async with web.stream("GET", address) as answer:
            assert answer.status_code == 404
            assert await answer.aread() == unknown.content
        same = {key: value for key, value in answer.headers.items() if key != "date"}
        assert same == {key: value for key, value in unknown.headers.items() if key != "date"}


async def test_the_page_works_without_javascript(store: JobStore, web: httpx.AsyncClient) -> None:
    await started(store, finished()[1:])
    answer = await web.get(PAGE)
    assert answer.status_code == 200
    assert "<title>Done · Export as JSON · acme/widget</title>" in answer.text
    for words in (
        "I read the command first.",
        "read export/cli.py",
        "1  import argparse",
        "uv run pytest",
        "219 passed",
        "Opened #42",
        'href="https://github.com/acme/widget/pull/42"',
        '<span class="add">+++ &#34;new&#34;',
        "$0.04 of $3.00",
    ):
        assert words in answer.text


async def test_the_page_may_run_only_our_two_files(store: JobStore, web: httpx.AsyncClient) -> None:
    """S31, the policy half: nothing inline, nothing from elsewhere, nothing kept, no address passed on."""
    await started(store, running()[1:])
    answer = await web.get(PAGE)
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert answer.text.count("<script") == answer.text.count('<script src="../static/live.js?v=') == 1
    assert " on" + "click=" not in answer.text
    assert "to stop this job, comment <code>/backspace cancel</code>" in answer.text.lower()
    assert "<form" not in answer.text


async def test_hostile_text_is_shown_as_text_everywhere(store: JobStore, web: httpx.AsyncClient) -> None:
    """S31; red when jinja2 does not escape (tried)."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e"
    who = Person(7, evil)
    await started(
        store,
        [Noted(evil), *running()[1:]],
        issue=Issue(number=12, title=evil, body=evil, author=who),
        command=Start(evil),
        requested_by=who,
    )
    text = (await web.get(PAGE)).text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


@pytest.mark.parametrize(
    ("name", "kind"), [("live.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
)
async def test_static_files_come_from_the_package(web: httpx.AsyncClient, name: str, kind: str) -> None:
    answer = await web.get(f"/static/{name}?v=1")
    assert (answer.status_code, answer.headers["content-type"].startswith(kind)) == (200, True)
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Flive.py", "%2e%2e/live.py", ".", "job.html"])
async def test_no_other_file_is_served(web: httpx.AsyncClient, name: str) -> None:
    assert (await web.get(f"/static/{name}")).status_code == 404


async def test_the_stream_tells_what_was_then_what_comes_then_ends(store: JobStore, web: httpx.AsyncClient) -> None:
    claim = await started(store, running()[1:])
    async with web.stream("GET", EVENTS) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["referrer-policy"] == "no-referrer"
        lines = answer.aiter_lines()
        seen = [json.loads(line[6:]) async for line in _data(lines, until=len(running()))]
        assert [frame["seq"] for frame in seen] == list(range(1, len(running()) + 1))
        await store.commit(claim, events=[Noted("now")])
        assert [json.loads(line[6:])["event"]["text"] async for line in _data(lines, until=1)] == ["now"]
        await store.commit(claim, events=[FINISHED], finish="succeeded")
        rest = [line async for line in lines]
        assert any('"job_finished"' in line for line in rest)


async def _data(lines: AsyncIterator[str], *, until: int) -> AsyncIterator[str]:
    left = until
    async for line in lines:
        if line.startswith("data: "):
            yield line
            left -= 1
            if not left:
                return


async def test_silence_is_filled_with_heartbeats(store: JobStore, web: httpx.AsyncClient) -> None:
    await started(store, running()[1:])
    async with web.stream("GET", EVENTS) as answer:
        beats = 0
        async for line in answer.aiter_lines():
            beats += line == ": still here"
            if beats == 3:
                break
    assert beats == 3


@pytest.mark.parametrize(
    ("headers", "query", "first"),
    [
        pytest.param({}, "", 1, id="from-the-start"),
        pytest.param({"Last-Event-ID": "5"}, "", 6, id="header"),
        pytest.param({}, "&last_event_id=7", 8, id="query"),
        pytest.param({"Last-Event-ID": "9"}, "&last_event_id=2", 10, id="the-header-is-newer"),
        pytest.param({"Last-Event-ID": "-1"}, "", 1, id="negative"),
        pytest.param({"Last-Event-ID": "9" * 400}, "", 1, id="huge"),
        pytest.param({"Last-Event-ID": "\u00b2".encode().decode("latin-1")}, "", 1, id="odd-digit"),
    ],
)
async def test_a_lost_watcher_goes_on_where_it_was(
    store: JobStore, web: httpx.AsyncClient, headers: dict[str, str], query: str, first: int
) -> None:
    await started(store, finished()[1:])
    raw = {key.encode(): value.encode("latin-1") for key, value in headers.items()}
    async with web.stream("GET", EVENTS + query, headers=raw) as answer:
        seen = await frames(answer, count=99)
    assert [frame["seq"] for frame in seen] == list(range(first, len(finished()) + 1))


async def test_a_watcher_who_has_seen_the_end_gets_an_ended_stream(store: JobStore, web: httpx.AsyncClient) -> None:
    await started(store, finished()[1:])
    answer = await web.get(EVENTS, headers={"Last-Event-ID": str(len(finished()))})
    assert (answer.status_code, answer.text) == (200, "retry: 2000\n\n")


async def test_head_opens_no_stream(store: JobStore, web: httpx.AsyncClient) -> None:
    await started(store, running()[1:])
    assert (await web.head(EVENTS)).status_code == 200


async def test_a_hundred_watchers_cost_one_reader_and_one_encoding(store: JobStore) -> None:
    """One pump a job: every watcher reads the same bytes objects, and it stops with the last watcher."""
    claim = await started(store, running()[1:])
    feeds = Feeds(store, heartbeat_s=15)
    async with feeds.watch("k7f3") as one, feeds.watch("k7f3") as other:
        assert one is other
        async with asyncio.timeout(60):
            while len(one.frames) < len(running()):
                await one.change()
        await store.commit(claim, events=[FINISHED], finish="succeeded")
        async with asyncio.timeout(60):
            while not one.ended:
                await one.change()
        assert len(one.frames) == len(running()) + 1
    async with feeds.watch("k7f3") as fresh:
        assert fresh is not one


async def test_watchers_who_leave_leave_nothing_behind(store: JobStore, web: httpx.AsyncClient) -> None:
    await started(store, running()[1:])
    tasks = len(asyncio.all_tasks())
    for _ in range(10):
        async with web.stream("GET", EVENTS) as answer:
            await frames(answer, count=1)
    await until(lambda: len(asyncio.all_tasks()) <= tasks + 3)


class BrokenStore:
    """A store whose database is gone."""

    async def job(self, job_id: str) -> JobRow | None:
        raise ProviderError("store", "the database cannot be read")


@pytest.mark.parametrize("path", [PAGE, EVENTS])
async def test_a_broken_store_is_said_plainly(path: str) -> None:
    app = Starlette(routes=list(routes(cast(JobStore, BrokenStore()))))
    async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.text) == (503, "The log cannot be read just now. Try again shortly.\n")


def test_a_diff_is_read_by_file_and_line() -> None:
    (file,) = diff_files(DIFF)
    assert (file.path, file.added, file.removed) == ("export/cli.py", "+1", "-1")
    assert file.lines == (
        ("hunk", "@@ -1,3 +1,3 @@ def main():"),
        ("same", " import argparse"),
        ("del", '--- "old"'),
        ("add", '+++ "new"'),
    )


def test_the_log_joins_each_tool_with_its_output() -> None:
    assert [(item.kind, item.text, item.state, item.output) for item in items(log(running()))] == [
        ("said", "I read the command first.", "ok", ""),
        ("tool", "read export/cli.py", "ok", "1  import argparse"),
        ("tool", "edit export/cli.py", "running", ""),
    ]
