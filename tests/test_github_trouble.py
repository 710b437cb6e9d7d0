"""Whole jobs while GitHub is unreliable: every call failing, every answer lost, credentials, names and places gone."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bot.agent.rules import RuleModel
from bot.domain.conversation import Conversation, Reply
from bot.domain.events import Conclusion
from bot.github.installation import App
from bot.ports import Model
from bot.report.pace import MIN_SECONDS_BETWEEN_UPDATES
from bot.stage import Stage, front_door
from bot.standins.github import Delay, DropReply
from bot.standins.github import Reply as Said
from bot.standins.github.faults import Action
from bot.wiring import runner
from tests.polling import until
from tests.repositories import python_bug
from tests.test_journey import asked, end_of, finished

pytestmark = pytest.mark.anyio

HASTE = 50  # pauses before another try are so many times shorter
REQUEST = "/backspace replace `(len(numbers) - 1)` with `len(numbers)` in `calc/mean.py`"
WRITES = ("POST", "PATCH", "DELETE")
Harm = Callable[[Stage], Awaitable[None]]


async def hasty(seconds: float) -> None:
    await asyncio.sleep(seconds / HASTE)


class Interrupted(RuleModel):
    """The rules, as a model; `harm` is done before its first reply."""

    def __init__(self, harm: Callable[[], Awaitable[None]]) -> None:
        self._harm = [harm]

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        if self._harm:
            await self._harm.pop()()
        return await super().ask(conversation, max_tokens=max_tokens)


@asynccontextmanager
async def bot(tmp_path: Path, harm: Harm | None = None) -> AsyncIterator[Stage]:
    """A bot on the rules, which waits as long as the real one, only faster."""
    source = tmp_path / "source"
    source.mkdir()
    front = front_door(
        tmp_path / "stage",
        source=python_bug(source),
        settings={"BACKSPACE_MODEL": "rules"},
        owner="acme",
        name="widget",
        maintainer="alice",
    )
    async with front as stage:

        async def harmed() -> None:
            if harm is not None:
                await harm(stage)

        def named(name: str) -> Model:
            return Interrupted(harmed)

        config, stop = stage.config, asyncio.Event()
        app = App(config.app_id, config.private_key, api_url=config.github_api_url, sleep=hasty)
        task = asyncio.create_task(runner(config, stage.store, named, app=app).run(stop))
        try:
            yield stage
        finally:
            stop.set()
            await task


def assert_one_of_everything(stage: Stage, issue: int) -> None:
    (opened,) = stage.github.pull_requests(stage.repository)
    assert opened.pull is not None
    assert b"/ len(numbers)" in stage.github.file(stage.repository, opened.pull.head_ref, "calc/mean.py")
    (comment,) = [c for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
    assert f"**Opened #{opened.number}**" in comment.body
    runs = stage.github.check_runs(stage.repository)
    assert opened.pull.head_sha in {run.head_sha for run in runs}
    assert len({run.head_sha for run in runs}) == len(runs)
    assert all(run.status == "completed" for run in runs)


KINDS = [
    ("POST", r"/access_tokens$"),
    ("GET", r"/collaborators/"),
    ("GET", r"/repos/acme/widget$"),
    ("GET", r"/issues/\d+$"),
    ("GET", r"/issues/\d+/comments$"),
    ("POST", r"/issues/\d+/comments$"),
    ("POST", r"/reactions$"),
    ("GET", r"/git/ref/"),
    ("POST", r"/git/refs$"),
    ("PATCH", r"/git/refs/"),
    ("GET", r"/widget/commits$"),
    ("POST", r"/git/trees$"),
    ("POST", r"/git/commits$"),
    ("GET", r"/pulls$"),
    ("POST", r"/pulls$"),
    ("POST", r"/requested_reviewers$"),
    ("GET", r"/commits/[0-9a-f]+/check-runs$"),
    ("POST", r"/check-runs$"),
    ("DELETE", r"/installation/token$"),
]


UPDATES = [("PATCH", r"/issues/comments/\d+$"), ("PATCH", r"/check-runs/\d+$")]  # of jobs that take a while


async def through(stage: Stage, action: Action, kinds: Sequence[tuple[str, str]]) -> None:
    """A job on whose way each kind of call meets the fault once."""
    faults = [stage.github.faults.add(action, method=method, path=path) for method, path in kinds]
    issue = await asked(stage, REQUEST)
    end = await end_of(stage, issue)
    assert end.conclusion is Conclusion.SUCCESS, end.message
    assert_one_of_everything(stage, issue)
    await until(lambda: all(fault.left == 0 for fault in faults))  # the token is given back after the row is terminal


async def lingered(stage: Stage) -> None:
    """Long enough for another progress update."""
    await asyncio.sleep(MIN_SECONDS_BETWEEN_UPDATES + 1)


@pytest.mark.parametrize(
    "status", [502, pytest.param(500, marks=pytest.mark.slow), pytest.param(503, marks=pytest.mark.slow)]
)
async def test_every_call_may_break_once(tmp_path: Path, status: int) -> None:
    async with bot(tmp_path) as stage:
        await through(stage, Said(status), KINDS)
        calls = {(row.method, row.path.removeprefix("/api/v3")) for row in stage.github.requests}
        api = {(method, path) for method, path in calls if path.startswith(("/repos/", "/app/", "/installation/"))}
        unmet = [one for one in api if not any(m == one[0] and re.search(p, one[1]) for m, p in KINDS + UPDATES)]
        assert unmet == [], "the list of kinds is whole"


async def test_the_answer_to_every_write_may_be_lost(tmp_path: Path) -> None:
    """R4, the report's comment and check included: one of each. Red when the four creates are marked repeatable
    in the allow-list (tried)."""
    async with bot(tmp_path) as stage:
        await through(stage, DropReply(), [kind for kind in KINDS if kind[0] in WRITES])


async def test_an_answer_in_the_thread_that_is_lost_twice_is_given_later(tmp_path: Path) -> None:
    """R3. Red when the worker takes the second loss for an answer: nothing is ever said (seen)."""
    async with bot(tmp_path) as stage:
        lost = stage.github.faults.add(Said(502), method="POST", path=r"/issues/\d+/comments$", times=2)
        issue = stage.github.open_issue(stage.repository, "alice", "How is it?", "").number
        stage.github.comment(stage.repository, issue, "alice", "/backspace status")
        await stage.github.deliver()
        await until(lambda: lost.left == 0)
        hurry = "UPDATE jobs SET run_at = 0 WHERE state = 'queued'"
        with closing(
            sqlite3.connect(stage.config.home / "backspace.db", timeout=60, isolation_level=None)
        ) as impatient:
            await until(lambda: impatient.execute(hurry).rowcount > 0)
        await finished(stage, issue)
        (row,) = await stage.store.jobs_on(stage.repository.id, issue)
        assert (row.state, row.attempts) == ("succeeded", 2)
        (said,) = [c.body for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
        assert "/backspace" in said


@pytest.mark.slow
@pytest.mark.parametrize("action", [Said(500), Said(502), Said(503), DropReply()], ids=["500", "502", "503", "lost"])
async def test_every_update_of_a_longer_job_may_fail_once(tmp_path: Path, action: Action) -> None:
    async with bot(tmp_path, lingered) as stage:
        await through(stage, action, UPDATES)


async def revoked(stage: Stage) -> None:
    stage.github.world.tokens.clear()


async def renamed(stage: Stage) -> None:
    stage.github.rename(stage.repository, "gadget")


@pytest.mark.parametrize("harm", [revoked, renamed])
async def test_a_job_goes_on_when_in_its_middle(tmp_path: Path, harm: Harm) -> None:
    """R10: 401 once mints another token; 301 is followed to the repository of the same id."""
    async with bot(tmp_path, harm) as stage:
        issue = await asked(stage, REQUEST)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.SUCCESS, end.message
        assert_one_of_everything(stage, issue)


async def test_a_reaction_that_hangs_holds_nobody_up_and_no_model_works_without_a_branch(tmp_path: Path) -> None:
    """Red when the worker waits for its reaction, and when the agent begins before its branch is there: seen."""
    asked_it: list[str] = []

    async def noted(stage: Stage) -> None:
        asked_it.append("model")

    async with bot(tmp_path, noted) as stage:
        stage.github.faults.add(Delay(4), method="POST", path=r"/reactions$")
        refusal = {"message": "Repository rule violations found"}
        stage.github.faults.add(Said(422, body=refusal), method="POST", path=r"/git/refs$")
        end = await end_of(stage, await asked(stage, REQUEST))
        assert (end.conclusion, asked_it) == (Conclusion.FAILURE, [])
        assert "Repository rule violations found" in end.message
        await until(lambda: any(row.path.endswith("/reactions") for row in stage.github.requests))
        reacted, begun = (
            next(row.at for row in stage.github.requests if row.method == "POST" and row.path.endswith(path))
            for path in ("/reactions", "/git/commits")
        )
        assert begun < reacted + 4
        end = await end_of(stage, await asked(stage, REQUEST))
        assert (end.conclusion, asked_it) == (Conclusion.SUCCESS, ["model"])


async def deleted(stage: Stage) -> None:
    stage.github.delete_repository(stage.repository)


async def issue_gone(stage: Stage) -> None:
    """410, and no webhook says so."""
    stage.repository.deleted_issues.add(1)


async def uninstalled(stage: Stage) -> None:
    (installation,) = stage.github.world.installations.values()
    stage.github.uninstall(installation)


async def suspended(stage: Stage) -> None:
    (installation,) = stage.github.world.installations.values()
    installation.suspended_at = stage.github.world.now()


async def left_out(stage: Stage) -> None:
    (installation,) = stage.github.world.installations.values()
    installation.repositories = set()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        pytest.param(deleted, "Not Found", id="repository-deleted", marks=pytest.mark.slow),
        pytest.param(uninstalled, "the App is not installed for acme/widget any more", id="app-removed"),
        pytest.param(suspended, "the App's installation is suspended", id="installation-suspended"),
        pytest.param(left_out, "push access", id="repository-taken-from-the-app", marks=pytest.mark.slow),
    ],
)
async def test_a_job_ends_in_words_and_once_when_in_its_middle(tmp_path: Path, harm: Harm, words: str) -> None:
    """And soon: a report that GitHub refuses is tried twice. Red when it is tried six times: seen."""
    most = 36 if harm is left_out else 16  # GitHub's 403 to a token that was made just now may be its own lag
    asked_before: list[int] = []

    async def harmed(stage: Stage) -> None:
        await harm(stage)
        asked_before.append(len(stage.github.requests))

    async with bot(tmp_path, harmed) as stage:
        issue = await asked(stage, REQUEST)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.FAILURE
        assert words in end.message
        (row,) = await stage.jobs(issue)
        assert (row.state, row.attempts) == ("failed", 1)
        assert len(stage.github.requests) - asked_before[0] <= most


@pytest.mark.slow
async def test_an_issue_that_is_gone_does_not_stop_the_work(tmp_path: Path) -> None:
    """The thread is gone (410), the repository is not: the pull request comes all the same."""
    async with bot(tmp_path, issue_gone) as stage:
        issue = await asked(stage, REQUEST)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.SUCCESS, end.message
        assert len(stage.github.pull_requests(stage.repository)) == 1
