"""The whole way: a signed webhook to a pull request, on a loopback GitHub, with the real SDKs and a real sandbox."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from bot.domain.events import Conclusion, JobFinished
from bot.ports import JobRow
from bot.stage import Stage, staged
from bot.standins.github import Delay, Reply
from bot.standins.messages import (
    Answer,
    BrokenJson,
    CutInside,
    ErrorEvent,
    Fault,
    LoopbackMessages,
    MaxTokens,
    Observed,
    Script,
    Status,
    UnknownDelta,
    answer,
    use,
)
from bot.standins.serving import serve
from tests.polling import until
from tests.repositories import AWKWARD, JAVASCRIPT, PYTHON, Case, awkward, javascript_package, python_bug

pytestmark = pytest.mark.anyio

KEY = "test-key-that-is-long-enough"
WITHIN_S = 90.0


@asynccontextmanager
async def bot(
    tmp_path: Path, make: Callable[[Path], Path], script: Script, **more: str
) -> AsyncIterator[tuple[Stage, LoopbackMessages]]:
    messages = LoopbackMessages(script, api_key=KEY)
    source = tmp_path / "source"
    source.mkdir()
    async with serve(messages.asgi()) as url:
        settings = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url, "BACKSPACE_MODEL": "claude-opus-5-5", **more}
        async with staged(tmp_path / "stage", source=make(source), settings=settings) as stage:
            yield stage, messages


async def asked(stage: Stage, text: str, *, login: str = "alice", title: str = "It is broken") -> int:
    """Opens an issue, comments on it, and waits until the job's row is terminal. Answers the issue's number."""
    issue = stage.github.open_issue(stage.repository, "alice", title, "Please see to it.")
    stage.github.comment(stage.repository, issue.number, login, text)
    await finished(stage, issue.number)
    return issue.number


async def finished(stage: Stage, issue: int) -> None:
    await stage.github.deliver()
    rows: Sequence[JobRow] = ()

    async def over() -> bool:
        nonlocal rows
        rows = await stage.store.jobs_on(stage.repository.id, issue)
        return bool(rows) and all(row.finished_at is not None for row in rows)

    try:
        await until(over, within_s=WITHIN_S)
    except TimeoutError:
        pytest.fail(f"after {WITHIN_S:g} s: {[(row.job.id, row.state, row.attempts) for row in rows]}")


async def end_of(stage: Stage, issue: int) -> JobFinished:
    (row, *_) = await stage.store.jobs_on(stage.repository.id, issue)
    ends = [r.event for r in await stage.store.events(row.job.id) if isinstance(r.event, JobFinished)]
    assert len(ends) == 1, "a job ends exactly once"
    return ends[0]


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def expected(
    base: Mapping[str, tuple[str, str]], changed: Mapping[str, tuple[str, bytes]]
) -> dict[str, tuple[str, str]]:
    tree = {**base, **{path: (mode, blob(content)) for path, (mode, content) in changed.items() if mode}}
    return {path: entry for path, entry in tree.items() if changed.get(path, ("x", b""))[0]}


def assert_published(stage: Stage, case: Case) -> None:
    """One pull request whose tree is the expected one, byte for byte and mode for mode."""
    (opened,) = stage.github.pull_requests(stage.repository)
    assert opened.pull is not None
    base = stage.github.tree(stage.repository, "main")
    assert stage.github.tree(stage.repository, opened.pull.head_ref) == expected(base, case.changed)


CASES = [
    pytest.param(python_bug, PYTHON, id="python"),
    pytest.param(javascript_package, JAVASCRIPT, id="javascript"),
    pytest.param(awkward, AWKWARD, id="awkward"),
]


@pytest.mark.parametrize(("make", "case"), CASES)
async def test_a_comment_becomes_a_pull_request(tmp_path: Path, make: Callable[[Path], Path], case: Case) -> None:
    async with bot(tmp_path, make, case.script) as (stage, _):
        issue = await asked(stage, case.request)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.SUCCESS, end.message
        assert_published(stage, case)
        (opened,) = stage.github.pull_requests(stage.repository)
        assert opened.body is not None
        assert f"Fixes #{issue}" in opened.body
        assert case.receipt in opened.body
        (comment,) = [c for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
        assert f"**Opened #{opened.number}**" in comment.body
        runs = stage.github.check_runs(stage.repository)
        assert all(run.status == "completed" for run in runs)
        assert opened.pull is not None
        assert [r.conclusion for r in runs if r.head_sha == opened.pull.head_sha] == ["success"]
        await until(lambda: stage.github.world.tokens == {})  # revoked once the row is terminal


FAULTS: dict[str, Fault] = {
    "cut-text": CutInside("tool_use"),
    "overloaded-status": Status(status=529, retry_after="0"),
    "overloaded-in-stream": ErrorEvent(after=2),
    "malformed-json": BrokenJson(),
    "max-tokens": MaxTokens(),
    "unknown-delta": UnknownDelta(),
}


@pytest.mark.parametrize(
    "request_number",
    [
        pytest.param(1, id="first", marks=pytest.mark.slow),
        pytest.param(3, id="middle"),
        pytest.param(6, id="last", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, fault in FAULTS.items()])
async def test_a_bad_reply_is_asked_for_again_and_nothing_of_it_is_run(
    tmp_path: Path, fault: Fault, request_number: int
) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        messages.faults[request_number] = fault
        issue = await asked(stage, PYTHON.request)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.SUCCESS, end.message
        assert_published(stage, PYTHON)
        assert len(messages.requests) == 7, "six turns and one that was asked for again"


async def test_a_redelivered_comment_makes_no_second_job(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        issue = await asked(stage, PYTHON.request)
        for delivery in [d for d in stage.github.deliveries if d.event == "issue_comment"]:
            stage.github.redeliver(delivery)
        await stage.github.deliver()
        assert len(await stage.jobs(issue)) == 1
        assert len(stage.github.pull_requests(stage.repository)) == 1


async def test_a_stranger_gets_a_reaction_and_one_sentence_an_hour(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.github.set_role(stage.repository, "mallory", "read")
        issue = await asked(stage, PYTHON.request, login="mallory")
        stage.github.comment(stage.repository, issue, "mallory", PYTHON.request)
        await finished(stage, issue)
        said = [c.body for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
        assert len(said) == 1
        assert said[0].endswith("**Not started**: @mallory needs write access to acme/widget.")
        assert messages.requests == []
        assert stage.github.pull_requests(stage.repository) == []
        assert list(stage.github.refs(stage.repository)) == ["refs/heads/main"]


async def test_many_strangers_at_once_get_one_sentence_between_them(tmp_path: Path) -> None:
    """S11. Red without the lock around deciding and writing down (three sentences came)."""
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "")
        for stranger in ("mallory", "eve", "trudy", "oscar"):
            stage.github.set_role(stage.repository, stranger, "read")
            stage.github.comment(stage.repository, issue.number, stranger, PYTHON.request)
        await finished(stage, issue.number)
        comments = stage.github.comments(stage.repository, issue.number)
        assert len([c for c in comments if c.author.type == "Bot"]) == 1
        assert all(len(c.reactions) == 1 for c in comments if c.author.type == "User")


async def test_an_outsiders_issue_is_not_read_when_a_writer_asks(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.github.set_role(stage.repository, "mallory", "read")
        issue = stage.github.open_issue(stage.repository, "mallory", "SECRET-TITLE", "SECRET-BODY")
        stage.github.comment(stage.repository, issue.number, "alice", PYTHON.request)
        await finished(stage, issue.number)
        assert_published(stage, PYTHON)
        assert "SECRET-" not in str(messages.requests)


async def test_a_cancel_that_comes_too_late_names_the_pull_request(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        stage.github.faults.add(Delay(600), method="POST", path=r".*/requested_reviewers", times=99)
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "")
        stage.github.comment(stage.repository, issue.number, "alice", PYTHON.request)
        await stage.github.deliver()
        await until_events(stage, issue.number, "pull_request_opened")
        stage.github.comment(stage.repository, issue.number, "alice", "/backspace cancel")
        await finished(stage, issue.number)
        (opened,) = stage.github.pull_requests(stage.repository)
        bodies = [c.body for c in stage.github.comments(stage.repository, issue.number) if c.author.type == "Bot"]
        assert any(f"**Cancelled** by @alice. Its change is in #{opened.number} already." in body for body in bodies)


async def test_a_look_up_that_github_refuses_is_told_in_the_thread(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.github.faults.add(Reply(403), path=r".*/permission", times=50)
        issue = await asked(stage, PYTHON.request)
        (said,) = [c.body for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
        assert "**Not started**: GitHub did not say whether this may be done" in said
        assert "{owner}" not in said
        assert said.rstrip().endswith("what it may not do here.")
        assert messages.requests == []


async def test_the_label_asks_with_the_issue_itself(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        issue = stage.github.open_issue(stage.repository, "alice", "Mend the mean", "It divides by the wrong number.")
        stage.github.label(stage.repository, issue.number, "alice", "backspace")
        await finished(stage, issue.number)
        assert_published(stage, PYTHON)
        assert "It divides by the wrong number." in str(messages.requests[0])


async def test_a_label_on_an_outsiders_issue_asks_for_it_fenced(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, messages):
        stage.github.set_role(stage.repository, "mallory", "read")
        issue = stage.github.open_issue(stage.repository, "mallory", "Mend the mean", "It divides by the wrong number.")
        stage.github.label(stage.repository, issue.number, "alice", "backspace")
        await finished(stage, issue.number)
        assert_published(stage, PYTHON)
        blocks = [block["text"] for block in messages.requests[0]["messages"][0]["content"]]
        (about,) = [text for text in blocks if "It divides by the wrong number." in text]
        assert about.startswith("# Issue #1")
        assert 'author="mallory" rank="has no write access"' in about
        assert any(text.startswith("<request-") and 'by="alice">\nDo what this issue asks.' in text for text in blocks)


async def test_cancel_stops_a_running_job_and_says_who(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, endless) as (stage, _):
        issue = stage.github.open_issue(stage.repository, "alice", "Never ends", "")
        stage.github.comment(stage.repository, issue.number, "alice", "/backspace wait for ever")
        await stage.github.deliver()
        await until_events(stage, issue.number, "tool_called")
        stage.github.comment(stage.repository, issue.number, "alice", "/backspace cancel")
        await finished(stage, issue.number)
        (row,) = await stage.jobs(issue.number)
        assert row.state == "cancelled"
        said = [c.body for c in stage.github.comments(stage.repository, issue.number) if c.author.type == "Bot"]
        assert any("**Cancelled** by @alice." in body for body in said)
        assert all(run.conclusion == "neutral" for run in stage.github.check_runs(stage.repository))


async def test_help_is_answered_in_the_thread(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        issue = await asked(stage, "/backspace help")
        (said,) = [c.body for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
        assert "What I understand" in said


async def test_the_live_page_opens_with_its_key_alone(tmp_path: Path) -> None:
    """S30. Red when the page ignores the key (tried)."""
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        issue = await asked(stage, PYTHON.request)
        (row,) = await stage.jobs(issue)
        async with httpx.AsyncClient(timeout=60) as client:
            page = await client.get(stage.page(row))
            assert page.status_code == 200
            assert "Divide the sum by the count" in page.text or "calc/mean.py" in page.text
            for bad in (stage.page(row)[:-1], f"{stage.config.public_url}/jobs/{row.job.id}"):
                assert (await client.get(bad)).status_code == 404


def endless(observed: Observed) -> Answer:
    return answer(use("bash", command=f"sleep 60; echo {observed.turn}"))


async def until_events(stage: Stage, issue: int, kind: str) -> None:
    async def happened() -> bool:
        logs = [await stage.store.events(row.job.id) for row in await stage.jobs(issue)]
        return any(recorded.event.kind == kind for events in logs for recorded in events)

    await until(happened, within_s=WITHIN_S)
