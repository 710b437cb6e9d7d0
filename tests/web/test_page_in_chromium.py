"""The live page in real Chromium: events arrive live, nothing in them runs, it fits phone and desk.

Needs Debian's `chromium`; `make test` installs it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from bot.domain.conversation import Usage
from bot.domain.events import (
    Conclusion,
    ContextRead,
    DiffShown,
    JobEvent,
    JobFinished,
    JobStarted,
    ModelAnswered,
    Noted,
    PullRequestOpened,
    ToolCalled,
    ToolReturned,
    Verified,
)
from bot.domain.job import Check, FileStat, Issue, Person, Receipt, Start
from bot.ports import JobStore
from bot.recordings.playback import Playback
from bot.recordings.run import recording_of
from bot.standins.serving import serve
from bot.stores import open_store
from bot.web import operator
from bot.web.live import record_app, routes
from bot.web.shared import shared_page
from tests.report.samples import DIFF, PASSED, STATS, WATCH_KEY, finished, job, log
from tests.web.browser import Tab, tab

pytestmark = pytest.mark.anyio
RUN = "window.ran=1"
EVIL = f"<img src=x onerror='{RUN}'><script>{RUN}</script>\"\u202e[x](javascript:{RUN})" + "W" * 200
TEXTS = """Object.fromEntries([...document.querySelectorAll("body [id]:not(#waiting)")].map(
    (node) => [node.id, node.textContent.replaceAll(/\\s+/g, "")]))"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    opened = await open_store(f"sqlite:///{tmp_path}/backspace.db")
    yield opened
    await opened.close()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Tab]:
    async with tab(tmp_path / "profile") as page:
        yield page


async def widest(browser: Tab) -> None:
    """Nothing sticks out at either width, in either scheme."""
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            await browser.look(width=width, scheme=scheme)
            assert await browser.evaluate("document.documentElement.scrollWidth") <= width


async def test_events_arrive_live_and_the_page_ends_with_the_job(store: JobStore, browser: Tab) -> None:
    await store.accept(guid="g", event="issue_comment", action="created", job=job())
    async with serve(Starlette(routes=list(routes(store)))) as url:
        await browser.look(width=390)
        await browser.open(f"{url}/jobs/k7f3?t={WATCH_KEY}")
        assert await browser.evaluate("document.title") == "Queued · Export as JSON · acme/widget"
        assert await browser.evaluate("document.querySelector('#elapsed').textContent") == "\u2013"
        claim = await store.claim("worker")
        assert claim is not None
        await store.commit(
            claim,
            events=[
                JobStarted(1, "claude-opus-5-5", 3.0),
                ModelAnswered(1, "claude-opus-5-5", "I read it first.", Usage(fresh=100, output=7), 0.02, 1.0),
                ToolCalled("c1", "bash", "pytest -q"),
            ],
        )
        await browser.until("document.querySelector('.tool[data-state=running]')")
        assert await browser.evaluate("document.title.startsWith('Running')")
        not_run = Verified(Receipt(command="make", reason="the sandbox cannot run it"))
        await store.commit(claim, events=[ToolReturned("c1", "bash", False, "exit 1\nboom", 2.5), not_run])
        await browser.until("document.querySelector('.tool[data-state=failed] .output')?.textContent.includes('boom')")
        assert await browser.evaluate("document.querySelector('.tool .meta').textContent") == "2.5 s"
        await browser.until("document.querySelector('[data-done=skipped] code')?.textContent === 'make'")
        not_run_live = await browser.evaluate(TEXTS)
        assert not_run_live["not-run"] == "Notrun:thesandboxcannotrunit."
        await browser.open(f"{url}/jobs/k7f3?t={WATCH_KEY}")
        assert await browser.evaluate(f"JSON.stringify({{...{TEXTS}, elapsed: ''}})") == json.dumps(
            {**not_run_live, "elapsed": ""}, separators=(",", ":"), ensure_ascii=False
        )
        await store.commit(
            claim,
            events=[
                DiffShown("d1", DIFF, STATS),
                Verified(PASSED),
                PullRequestOpened(42, "https://github.com/acme/widget/pull/42", False, STATS),
                JobFinished(Conclusion.SUCCESS, "**Opened #42**"),
            ],
            finish="succeeded",
        )
        await browser.until("document.body.dataset.state === 'success'")
        live = await browser.evaluate(TEXTS)
        assert live["headline"] == "Opened#42"
        assert live["cost"] == "$0.02of$3.00"
        assert await browser.evaluate("document.querySelector('#pull-request').href") == (
            "https://github.com/acme/widget/pull/42"
        )
        assert await browser.evaluate("source.readyState === EventSource.CLOSED")
        await browser.open(f"{url}/jobs/k7f3?t={WATCH_KEY}")
        assert await browser.evaluate(TEXTS) == live
        await widest(browser)
    assert browser.complaints == []


async def test_nothing_in_an_event_runs_and_nothing_breaks_the_page(store: JobStore, browser: Tab) -> None:
    """S31; red when live.js puts text in by `innerHTML` and the policy allows inline script (tried)."""
    who = Person(7, EVIL)
    issue = Issue(number=12, title=EVIL, body=EVIL, author=who)
    made = job(issue=issue, command=Start(EVIL), requested_by=who)
    await store.accept(guid="g", event="issue_comment", action="created", job=made)
    claim = await store.claim("worker")
    assert claim is not None
    killed = Receipt(command=EVIL, runs=(Check(where="head", exit_code=None, seconds=1, tail=EVIL * 50),))
    stats = (FileStat(EVIL, 1, None),)
    events: list[JobEvent] = [
        JobStarted(1, EVIL, 3.0),
        ContextRead((EVIL,), EVIL),
        ModelAnswered(1, EVIL, EVIL, Usage(), None, 1.0),
        ToolCalled(EVIL, EVIL, EVIL),
        ToolReturned(EVIL, EVIL, True, EVIL * 100, 1.0),
        Noted(EVIL),
        DiffShown("d", f"diff --git a/x b/{EVIL}\n@@\n+{EVIL}", stats),
        Verified(killed),
        PullRequestOpened(1, "javascript:" + RUN, False, stats),
    ]
    async with serve(Starlette(routes=list(routes(store)))) as url:
        await browser.look(width=1280)
        await browser.open(f"{url}/jobs/k7f3?t={WATCH_KEY}")
        await store.commit(claim, events=events)
        await browser.until(f"seq === {len(events) + 1}")
        await widest(browser)
        await browser.open(f"{url}/jobs/k7f3?t={WATCH_KEY}")
        await widest(browser)
        await asyncio.sleep(0.2)
        assert await browser.evaluate("window.ran === undefined && !document.querySelector('img, main script')")
        assert await browser.evaluate("document.querySelector('#pull-request').hidden")
        assert "\u202e" not in await browser.evaluate("document.documentElement.textContent")
    assert browser.complaints == []


async def test_the_operator_cancels_on_the_page_and_nobody_else_sees_how(store: JobStore, browser: Tab) -> None:
    """The token is asked for under `#operator` alone, stays in the tab, and goes out in a header."""
    await store.accept(guid="g", event="issue_comment", action="created", job=job())
    token = "operator-" + "t" * 24
    pages = [*routes(store, has_operator=True), *operator.routes(store, operator_token=token)]
    hidden = "getComputedStyle(document.querySelector('#operator')).display === 'none'"
    async with serve(Starlette(routes=pages)) as url:
        await browser.look(width=390)
        await browser.open(f"{url}/jobs/k7f3?t={WATCH_KEY}")
        assert await browser.evaluate(hidden)
        await browser.evaluate("location.hash = 'operator'")
        await browser.until(f"!({hidden})")
        await widest(browser)
        for given, said in (("wrong" * 6, "This is not the operator's token."), (token, "Cancelling…")):
            await browser.evaluate(f"document.querySelector('#operator-token').value = '{given}'")
            await browser.evaluate("document.querySelector('#operator button').click()")
            await browser.until(f'document.querySelector("#operator-said").textContent === "{said}"')
        row = await store.job("k7f3")
        assert row is not None
        assert row.cancel_by == "the operator"
        assert await browser.evaluate("document.cookie") == ""
        assert token not in await browser.evaluate("location.href + document.documentElement.outerHTML")
        claim = await store.claim("worker")
        assert claim is not None
        await store.commit(claim, events=[JobFinished(Conclusion.NEUTRAL, "Cancelled.")], finish="cancelled")
        await browser.until(hidden)
    assert all("404" in complaint for complaint in browser.complaints), browser.complaints


async def test_a_page_to_share_shows_hostile_text_and_asks_nothing_of_anybody(tmp_path: Path, browser: Tab) -> None:
    """Red when a text is marked as safe and the policy is left out: seen."""
    who = Person(7, EVIL)
    made = job(issue=Issue(number=12, title=EVIL, body=EVIL, author=who), command=Start(EVIL), requested_by=who)
    beacon = '<style>*{background:url(http://127.0.0.1:9/x)}</style><link rel="stylesheet" href="http://127.0.0.1:9/y">'
    events: list[JobEvent] = [
        JobStarted(1, EVIL, 3.0),
        ModelAnswered(1, EVIL, EVIL + beacon, Usage(), None, 1.0),
        ToolCalled("c1", "bash", "\x1b]0;title\x07\x1b[2Jls"),
        ToolReturned("c1", "bash", True, EVIL + beacon, 1.0),
        DiffShown("d", f"diff --git a/x b/{EVIL}\n@@\n+{EVIL}{beacon}", STATS),
        Verified(PASSED),
        PullRequestOpened(1, "javascript:" + RUN, False, STATS),
        JobFinished(Conclusion.SUCCESS, EVIL),
    ]
    file = tmp_path / "run.html"
    file.write_text(shared_page(made, log(events), github_url="https://github.com"), encoding="utf-8")
    await browser.look(width=1280)
    await browser.open(file.as_uri())
    await widest(browser)
    await asyncio.sleep(0.2)
    assert await browser.evaluate(
        "window.ran === undefined && !document.querySelector('img, script, link, main style')"
    )
    assert await browser.evaluate("performance.getEntriesByType('resource').length") == 0
    assert await browser.evaluate("getComputedStyle(document.querySelector('.entry.tool')).listStyleType") == "none"
    text = await browser.evaluate("document.documentElement.textContent")
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert await browser.evaluate("[...document.links].every((link) => /^https:|#log$/.test(link.href))")
    assert browser.complaints == []


async def test_a_recorded_run_plays_back_on_the_page(browser: Tab) -> None:
    recording = recording_of(job(), log(finished(), step_s=0.1), site="https://github.com")
    playback = Playback(recording, speed=4.0)
    playing = asyncio.create_task(playback.run())
    try:
        async with serve(record_app(playback, github_url=playback.site, now=playback.now)) as url:
            await browser.look(width=1280)
            await browser.open(url + playback.path)
            played = "document.querySelector('#cancel').textContent === 'The record of a run, played back.'"
            assert await browser.evaluate(played)
            await browser.until("document.body.dataset.state === 'success'")
            assert await browser.evaluate("document.querySelectorAll('.entry.tool[data-state=ok]').length") == 2
            assert await browser.evaluate("source.readyState === EventSource.CLOSED")
            assert await browser.evaluate("document.querySelector('#elapsed').textContent") == "1.5 s"
    finally:
        playing.cancel()
    assert browser.complaints == []
